"""The night's chain: how long its steps may take, how often they are tried, and what the new model is watched for."""

from pydantic import Field

from services.settings.launchers import Launcher
from services.settings.section import Section


class NightSettings(Section):
    launcher: Launcher = "local"
    """Where challengers are trained. local: a process beside the scheduler. torchrun: several on its machine. ray:
    workers of a Ray cluster. kubernetes: a Job each. See the sections `launchers` and `kubernetes`."""
    max_attempts: int = Field(default=3, ge=1, le=20)
    """How often a step is tried before it counts as failed; a crash while it runs is an attempt, a restart is not."""
    retry_pause_s: float = Field(default=30.0, ge=0, le=3_600)
    """Seconds before the second attempt; each later pause is twice as long, half an hour at most."""
    step_timeout_s: int = Field(default=3_600, ge=1)
    """Seconds after which a step is ended, with every process it started; for training see schedule.train_timeout_s."""
    resume_within_h: float = Field(default=12.0, gt=0, le=168)
    """A night whose scheduler died is gone on with if it began at most so many hours ago; later its data is stale."""
    watch_s: float = Field(default=300.0, ge=0, le=86_400)
    """For how many seconds a new model's answers are watched, and it is taken back when they get worse; 0: not."""
    watch_min_calls: int = Field(default=200, ge=1)
    """Calls since the swap before anything is judged. Smaller: chance takes a model back; larger: a bad one stays."""
    watch_max_failed_rise: float = Field(default=0.01, ge=0, le=1)
    """Most that the share of failed calls may rise over what it was before the swap."""
    watch_max_degraded_rise: float = Field(default=0.05, ge=0, le=1)
    """Most that the share of degraded answers may rise over what it was before the swap."""
    watch_max_p99_ratio: float = Field(default=3.0, ge=1, le=1_000)
    """How many times as long as before the swap calls may take, p99. Below 2 the buckets' own width shows."""
    watch_max_p99_ms: float = Field(default=20.0, ge=0, le=60_000)
    """Milliseconds, p99, below which latency is not held against a model."""
