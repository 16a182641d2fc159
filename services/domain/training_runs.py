"""Training runs: what each training process says of itself while it goes on, for people and for whoever watches it.

One is the execution of `services.training`, whoever asked for it. A night's entry in the run book (`domain.runs`) is
about the whole chain, of which this is a part, and it alone decides what may run; nothing is decided by these.
"""

from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from enum import StrEnum
from typing import Final

from services.domain.ids import ModelVersion

SILENT_AFTER: Final = timedelta(minutes=5)
"""A running process tells the database once a minute that it is there. Larger: a dead one is seen late; smaller: a
database that was away for a moment makes a live one look dead."""


class TrainingState(StrEnum):
    RUNNING = "running"
    """Or dead without a word, as after a power cut: see `TrainingRun.silence`."""
    COMPLETED = "completed"
    """Published and registered."""
    FAILED = "failed"
    """Or stopped: no model came of it."""


@dataclass(frozen=True, slots=True)
class TrainingRun:
    """How a run is. The figures are those of the last epoch; None before it ended, and of a kind without epochs."""

    run_id: str
    """Sorts by time."""
    kind: str
    trigger: str
    """Who asked: nightly, manual."""
    start_time: datetime
    update_time: datetime
    """When its process last gave word; of one that ended, when that was."""
    state: TrainingState = TrainingState.RUNNING
    stage: str = ""
    """The last one that began: read, fit, evaluate, export, publish; empty before the first."""
    mode: str | None = None
    """Full or incremental; None until that is decided."""
    epoch: int = 0
    max_epochs: int = 0
    loss: float | None = None
    valid_ndcg_at_10: float | None = None
    """On validation; None also for a kind that does not look at it."""
    examples_per_s: float | None = None
    left_s: float | None = None
    """Until fitting ends at the latest, reckoned at the update time; None when it does not fit."""
    version: ModelVersion | None = None
    """The model that came of it."""
    detail: str = ""
    """One sentence for people on why it failed."""

    def at(self, now: datetime) -> "TrainingRun":
        """The same run, of which nothing new is known but that it goes on."""
        left_s = self.left_s
        if left_s is not None:
            left_s = max(left_s - (now - self.update_time).total_seconds(), 0.0)
        return replace(self, update_time=now, left_s=left_s)

    def silence(self, now: datetime) -> timedelta | None:
        """How long it has given no word, if that is longer than a process that lives would take; else None."""
        silent = now - self.update_time
        return silent if self.state is TrainingState.RUNNING and silent > SILENT_AFTER else None


def seconds_left(epoch: int, max_epochs: int, elapsed_s: float) -> float | None:
    """Until all epochs are over, if they take as long as those before; None before the first has ended."""
    return elapsed_s / epoch * (max_epochs - epoch) if epoch else None
