"""Runs: a scheduler's attempts to make a new model, and the book that keeps them, so that two don't run at once.

A run belongs to its holder, and every word about it is fenced by that: a scheduler that stalled for longer than its
lease, and whose run another one took over or failed meanwhile, learns of it at its next word, and changes nothing.
What `nightjar train` does is no run and is not in the book; how far any training process is, `domain.training_runs`
says, and what a night has done so far, `domain.nights`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Protocol

from services.domain.ids import ModelVersion

NOBODY = ""
"""The holder of a run that its scheduler gave back unfinished: whoever comes next may go on with it at once."""


class RunState(StrEnum):
    RUNNING = "running"
    SUCCEEDED = "succeeded"
    """A night: its model went live. A housekeeping: done."""
    REFUSED = "refused"
    """The data was not fit to train on, or no model passed the gate, or the new one was taken back at once."""
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
    holder: str = NOBODY
    """Who runs it, a name drawn for this run; what others cannot know, they cannot write with."""
    alive_time: datetime | None = None
    """When its holder was last heard of."""


class RunBook(Protocol):
    """The runs of all schedulers. At most one of a kind is marked as running. Methods block and raise CatalogDown."""

    def begin(self, kind: str, trigger: str) -> Run | None:
        """Starts a run and holds its lease; None while another run of the kind holds one.

        An abandoned run of the kind is marked as failed.
        """
        ...

    def abandoned(self, kind: str) -> Run | None:
        """The running run of the kind that nobody holds, or whose holder's lease ran out, as after a crash."""
        ...

    def take_over(self, run: Run) -> Run | None:
        """Makes an abandoned run ours; None when its holder was heard of since, or somebody else was first."""
        ...

    def keep_alive(self, run: Run) -> bool:
        """Renews the lease, also one that ran out; False when the run is over or another's."""
        ...

    def release(self, run: Run) -> bool:
        """Gives an unfinished run back, for whoever goes on with it; False as in keep_alive."""
        ...

    def finish(self, run: Run, state: RunState, *, version: ModelVersion | None = None, detail: str = "") -> bool:
        """Records how a run ended; False as in keep_alive, and nothing is recorded."""
        ...

    def reopen(self, run_id: int) -> bool:
        """Makes the newest run of its kind, which ended without success, a running one that nobody holds.

        False when there is no such run, or it succeeded, is running, or is not the newest.
        """
        ...

    def fail_abandoned(self, kind: str) -> Sequence[Run]:
        """Marks as failed every abandoned run of the kind, and returns them."""
        ...

    def newest(self, limit: int, kind: str | None = None) -> Sequence[Run]:
        """Newest first, of that kind or of all."""
        ...
