"""The offline log: how long and in which pieces it is kept."""

from pydantic import Field

from services.settings.section import Section


class LogSettings(Section):
    retention_days: int | None = Field(default=None, ge=1)
    """Dates of events older than this many days are deleted by housekeeping. Unset: the log is kept for ever."""
    keep_models: int = Field(default=7, ge=1, le=1_000)
    """Models, the live one and those live before it, whose data can be read as it was when they were trained."""
    keep_candidates_days: int = Field(default=7, ge=0, le=365)
    """Days for which the data of a model that passed the gate is kept too, since it may go live yet. 0: not kept."""
    vacuum_min_age_h: int = Field(default=24, ge=1, le=168)
    """Hours a file stays on disk after the log let go of it. Nobody may read or write for longer at a time."""
    target_file_mib: int = Field(default=128, ge=1, le=4_096)
    """Size up to which small files are merged, MiB. Larger: fewer files, more memory while merging."""
    compact_min_files: int = Field(default=4, ge=2, le=10_000)
    """Small files of one date from which on they are merged. Smaller: more is written, to read a little faster."""
