"""The way out: where the gRPC service listens and how it behaves."""

from pydantic import Field

from services.settings.section import Section


class ServeSettings(Section):
    host: str = "127.0.0.1"
    """Address the gRPC service listens on; 0.0.0.0 for all."""
    port: int = Field(default=50051, ge=0, le=65535)
    """Port of the gRPC service; 0 picks a free one."""
    num_workers: int = Field(default=2, ge=1, le=256)
    """Worker processes that share the port."""
    poll_interval_s: float = Field(default=0.5, gt=0, le=60)
    """How often a worker asks the database for the live model and for hidden items when no notice came, seconds.

    Larger: a hidden item whose notice was lost is shown for more than a second. Smaller: more questions, two each time.
    """
    drain_s: float = Field(default=5.0, ge=0, le=600)
    """How long running calls may take to finish at a stop, seconds."""
