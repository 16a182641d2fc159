"""Runs: a scheduler's attempts to make a new model, and the book that keeps them, so that two don't run at once.

A run that is kept alive is the only one. One whose process stalls for longer than its lease learns of that at its next
`keep_alive`; until then another may have begun. What `nightjar train` does is no run and is not in the book; how
far any training process is, `domain.training_runs` says.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from services.domain.ids import ModelVersion


class RunState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """A night: trained, passed the gate, live. A housekeeping: done."""
    REFUSED = "refused"
    """Trained, but the gate did not let it go live."""
    FAILED = "failed"
    TIMED_OUT = "timed_out"


@dataclass(frozen=True, slots=True)
class Run:
    """One run. `detail` is one sentence for people on how it ended; empty while it runs."""

    run_id: int
    kind: str
    trigger: str
    start_time: datetime
    state: RunState
    end_time: datetime | None = None
    version: ModelVersion | None = None
    detail: str = ""


class RunBook(Protocol):
    """The runs of all schedulers. At most one of a kind is marked as running. Methods block and raise CatalogDown."""

    def begin(self, kind: str, trigger: str) -> Run | None:
        """Starts a run and holds its lease; None while another run of the kind holds one."""
        ...

    def keep_alive(self, run_id: int) -> bool:
        """Renews the lease; False when the run is no longer running, because its lease ran out."""
        ...

    def finish(self, run_id: int, state: RunState, *, version: ModelVersion | None = None, detail: str = "") -> bool:
        """Records how a running run ended; False, and nothing recorded, when its lease ran out before."""
        ...

    def fail_abandoned(self) -> Sequence[Run]:
        """Marks as failed every running run whose lease ran out, as after a crash, and returns them."""
        ...

    def newest(self, limit: int) -> Sequence[Run]:
        """Newest first."""
        ...
