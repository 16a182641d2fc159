"""The way in: what a record may be, when the writers store, and the operator's words for events."""

from pydantic import Field

from services.domain.event_types import Role
from services.settings.section import Section


class IngestSettings(Section):
    max_record_bytes: int = Field(default=65_536, ge=1_024, le=1_000_000)
    """A larger record goes to the dead letters, bytes."""
    commit_rows: int = Field(default=50_000, ge=1, le=5_000_000)
    """Rows after which the offline writer commits. Larger: fewer files, more memory."""
    commit_bytes: int = Field(default=64 * 1_048_576, ge=65_536, le=4 * 1_073_741_824)
    """Bytes of records after which the offline writer commits, duplicates included; bounds its memory."""
    commit_interval_s: float = Field(default=10.0, gt=0, le=3_600)
    """Longest time a row waits for its commit, seconds. Smaller: more and smaller files."""
    dedupe_window_s: int = Field(default=7 * 86_400, ge=0, le=366 * 86_400)
    """How far behind the newest event_time in the log ids are read back after a restart, seconds; 0 reads none."""
    dedupe_max_ids: int = Field(default=20_000_000, ge=0, le=1_000_000_000)
    """Event ids a writer remembers at most, the newest by event_time stay; 16 bytes each. 0 finds no duplicates."""
    max_future_s: int = Field(default=86_400, ge=0, le=366 * 86_400)
    """How far in the future an event_time may lie, seconds."""
    max_consecutive_dead: int = Field(default=10_000, ge=1)
    """Dead records in a row after which the offline writer stops: then the producer is broken, not a record."""


class EventTypeSettings(Section):
    name: str = Field(min_length=1, max_length=64, pattern=r"^[a-z][a-z0-9_]*$")
    """The word producers put into Event.type."""
    role: Role
    """impression, positive, negative or neutral."""
    weight: float = Field(default=1.0, ge=-100, le=100)
    """How much one such event says; 1.0 is a plain view."""
    consumes: bool = False
    """True when the item is not recommended to that user again."""
