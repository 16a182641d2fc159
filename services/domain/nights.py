"""Nights: what a night does, step by step, and the book that keeps it, so that whoever comes next can go on from there.

A step is one row, however often it was tried. Its outputs are all that later steps know of it: nothing that a night
needs after a crash is in memory alone.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Protocol

from services.domain.runs import Run

ACTOR: Final = "scheduler"
"""Who changes the live model in a night."""
NIGHT: Final = "night"
"""The kind of these runs."""
MAX_LOG_CHARS: Final = 4_000  # of a step, its end; larger: megabytes a year; smaller: a traceback loses its head


class StepState(StrEnum):
    RUNNING = "running"
    DONE = "done"
    REFUSED = "refused"
    """Done, and what it found ends the night."""
    FAILED = "failed"
    INTERRUPTED = "interrupted"
    """Its scheduler stopped; that was no attempt of its own."""
    ACCEPTED = "accepted"
    """Refused, and an operator said to go on all the same."""

    @property
    def lets_go_on(self) -> bool:
        return self in (StepState.DONE, StepState.ACCEPTED)


@dataclass(frozen=True, slots=True)
class StepRow:
    """One step of a night. Inputs and outputs are JSON; `detail` is one sentence on how it ended, for people."""

    run_id: int
    name: str
    """Such as `pin`, or `train:nightly` for one challenger of several."""
    state: StepState
    attempts: int
    """How often it was tried, a crash while it ran included."""
    start_time: datetime
    """Of the newest attempt."""
    end_time: datetime | None = None
    inputs: Mapping[str, Any] | None = None
    outputs: Mapping[str, Any] | None = None
    """None until it is done."""
    detail: str = ""
    log: str = ""
    """What it said, the newest MAX_LOG_CHARS of it, by line."""


class NightBook(Protocol):
    """The steps of all nights. Methods block and raise CatalogDown; writes are fenced by the run's holder.

    A write also renews the run's lease; it returns False or None, and changes nothing, when the run is over or
    another's.
    """

    def steps(self, run_id: int) -> Sequence[StepRow]:
        """In the order in which they first began."""
        ...

    def begin(self, run: Run, name: str, inputs: Mapping[str, Any]) -> StepRow | None:
        """Begins an attempt at a step: its attempts count one more, and what an earlier one left is cleared."""
        ...

    def end(
        self,
        run: Run,
        name: str,
        state: StepState,
        *,
        outputs: Mapping[str, Any] | None = None,
        detail: str = "",
        log: str = "",
    ) -> bool:
        """Records how the attempt ended. INTERRUPTED takes the attempt back."""
        ...

    def accept(self, run_id: int, name: str, detail: str) -> bool:
        """An operator's word on a refused step of a run that nobody runs; False when there is no such step."""
        ...

    def forgive(self, run_id: int) -> None:
        """Sets the attempts of the steps that failed to 0, in a run that nobody runs, so that they are tried anew."""
        ...
