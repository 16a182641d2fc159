"""What may be asked of nights and their timetable: the one place for the command line and the gRPC service."""

import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import structlog
from sqlalchemy.exc import SQLAlchemyError

from scheduler import run_now, timetable
from scheduler.facts import CHECK
from scheduler.timetable import Timetable
from services.domain.errors import CatalogDown, InvalidRequest, NightNotResumable, UnknownNight
from services.domain.nights import NIGHT, NightBook, StepRow, StepState
from services.domain.runs import Run, RunBook, RunState

NIGHTS_KEPT: Final = 1_000  # as many runs as the run book keeps, whatever their kind
ACCEPT_REASON: Final = "accept_reason"

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Planned:
    """When nights start by themselves: `next_time` is None while they are paused, and where nobody planned any."""

    next_time: datetime | None
    paused: bool


@dataclass(frozen=True)
class NightsDesk:
    """All methods block; they raise CatalogDown, and what they say. `pause` waits, and returns True to be done."""

    table: Timetable
    runs: RunBook
    book: NightBook
    pause: Callable[[float], object] = time.sleep

    def newest(self, limit: int, before: int | None = None) -> Sequence[Run]:
        """Newest first, of those that began before the night of that number."""
        if before is None:
            return self.runs.newest(limit, NIGHT)
        return [night for night in self.runs.newest(NIGHTS_KEPT, NIGHT) if night.run_id < before][:limit]

    def night(self, number: int | None = None) -> Run:
        """The newest one without a number. Raises UnknownNight."""
        found = self.runs.newest(1 if number is None else NIGHTS_KEPT, NIGHT)
        for run in found:
            if number in (None, run.run_id):
                return run
        there = f"the newest one is {found[0].run_id}" if found else "there is no night yet"
        raise UnknownNight(there.capitalize() + "." if number is None else f"Night {number} is not known; {there}.")

    def steps(self, night: Run) -> Sequence[StepRow]:
        return self.book.steps(night.run_id)

    def run_now(self) -> Run:
        """The night that a scheduler began, or the one that goes on already. Raises NotRunning when none takes it."""
        with _catalog_errors():
            return run_now.ask(self.table, self.runs, pause=self.pause)

    def resume(self, number: int | None, actor: str, accept_reason: str = "") -> Run:
        """Has a scheduler go on with a night at the step that ended it; it takes it within seconds.

        accept_reason: why it may go on although the checks refused its data. Raises UnknownNight, NightNotResumable,
        and InvalidRequest where that reason is missing.
        """
        night, reason = self.night(number), accept_reason.strip()
        if night.state in (RunState.RUNNING, RunState.SUCCEEDED):
            raise NightNotResumable(f"Night {night.run_id} is {night.state.value}; there is nothing to go on with.")
        if night.run_id != self.night(None).run_id:
            raise _is_older(night)
        refused = next((step for step in self.steps(night) if step.state is StepState.REFUSED), None)
        if refused is not None and refused.name != CHECK:
            raise NightNotResumable(f"Night {night.run_id} ended as it should: {refused.detail}")
        if refused is not None and not reason:
            raise InvalidRequest(ACCEPT_REASON, f"must say why it may go on all the same: {refused.detail}")
        if refused is not None:
            self.book.accept(night.run_id, refused.name, f"Accepted by {actor}: {reason}")
        self.book.forgive(night.run_id)
        if not self.runs.reopen(night.run_id):  # another has begun meanwhile
            raise _is_older(night)
        log.info("night_resumed", run_id=night.run_id, actor=actor, accept_reason=reason)
        return self.night(night.run_id)

    def pause_nights(self) -> None:
        """No night starts by itself until `resume_nights`. Raises NotRunning when none was ever planned."""
        with _catalog_errors():
            timetable.pause_nights(self.table)

    def resume_nights(self) -> None:
        """Raises NotRunning when none was ever planned."""
        with _catalog_errors():
            timetable.resume_nights(self.table)

    def planned(self) -> Planned:
        with _catalog_errors():
            job = self.table.get_job(timetable.NIGHTLY)
        next_time = None if job is None else job.next_run_time
        return Planned(next_time, paused=job is not None and next_time is None)


def _is_older(night: Run) -> NightNotResumable:
    return NightNotResumable(f"Night {night.run_id} is not the newest; `nightjar nights run-now` starts another.")


@contextmanager
def _catalog_errors() -> Iterator[None]:
    """The timetable's library raises what its database raises."""
    try:
        yield
    except SQLAlchemyError as error:
        cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise CatalogDown(
            f"The timetable in the catalog database cannot be used ({cause}); check the database."
        ) from error
