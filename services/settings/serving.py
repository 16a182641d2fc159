"""The way out: where the gRPC service listens and how it behaves."""

from typing import Literal

from pydantic import Field

from services.settings.section import Section


class SwapSettings(Section):
    prepare_timeout_s: float = Field(default=60.0, gt=0, le=3_600)
    """How long workers may take to load a version before it is swapped in, seconds.

    Larger: a worker that hangs holds the swap up. Smaller: a large bundle on a slow disk is not ready in time.
    """
    min_ready: float = Field(default=0.5, gt=0, le=1)
    """Share of the living workers that must be ready when the time is up; the rest follow when they are.

    Larger: one sick worker keeps the old model everywhere. Smaller: few workers serve until the others are ready.
    """
    rollback_window_s: float = Field(default=43_200.0, ge=0, le=604_800)
    """How long a worker keeps the model that served before, so that a rollback needs no load, seconds.

    Larger: the memory of a second bundle for longer. Smaller: a rollback on the morning after has to load it.
    """


class ServeSettings(Section):
    host: str = "127.0.0.1"
    """Address the gRPC service listens on; 0.0.0.0 for all."""
    port: int = Field(default=50051, ge=0, le=65535)
    """Port of the gRPC service; 0 picks a free one."""
    num_workers: int = Field(default=2, ge=1, le=256)
    """Worker processes that share the port."""
    engine: Literal["grpcio", "native"] = "grpcio"
    """What speaks HTTP/2: grpcio, or native, which takes less of a core a call and needs nightjar-server[native].

    See docs/guide/native-engine.md for what native lacks.
    """
    poll_interval_s: float = Field(default=0.5, gt=0, le=60)
    """How often a worker asks the database for the live model and for hidden items when no notice came, seconds.

    Larger: a hidden item whose notice was lost is shown for more than a second. Smaller: more questions, two each time.
    """
    drain_s: float = Field(default=5.0, ge=0, le=600)
    """How long running calls may take to finish at a stop, seconds."""
