"""A night's chain on fakes: steps that say what they did, a database that may be away, a scheduler that may die."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any

from scheduler.chain import Chain, Outputs, Step, Work
from scheduler.facts import REPORT, Facts
from scheduler.night import Ending, Night
from services.domain.errors import CatalogDown
from services.domain.nights import StepRow, StepState
from services.domain.runs import Run
from tests.fakes.clock import FakeClock
from tests.fakes.night_book import FakeNightBook
from tests.fakes.run_book import FakeRunBook


class Killed(BaseException):
    """The scheduler's process died; nothing in it may catch this."""


@dataclass
class FakeStep:
    """Does what `do` says. Its outputs are {"of": name} unless that returns others."""

    name: str
    do: Callable[[Work], Outputs | None] = lambda _: None
    timeout_s: float = 3_600.0
    may_fail: bool = False
    seen: list[Facts] = field(default_factory=list)

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        return {"after": list(facts.outputs)}

    def run(self, work: Work) -> Outputs:
        self.seen.append(work.facts)
        return self.do(work) or {"of": self.name}


class Database:
    """Away until a moment of the clock; `before_write` runs before each write, `after_write` after it."""

    def __init__(self, clock: FakeClock) -> None:
        self._clock = clock
        self._back_time = clock.now()
        self.before_write: Callable[[], object] = lambda: None
        self.after_write: Callable[[], object] = lambda: None

    def go_away(self, seconds: float) -> None:
        self._back_time = self._clock.now() + timedelta(seconds=seconds)

    def check(self) -> None:
        if self._clock.now() < self._back_time:
            raise CatalogDown("The catalog database is away.")


class NightBookThere(FakeNightBook):
    def __init__(self, clock: FakeClock, runs: FakeRunBook, database: Database) -> None:
        super().__init__(clock, runs)
        self._database = database

    def steps(self, run_id: int) -> Sequence[StepRow]:
        self._database.check()
        return super().steps(run_id)

    def begin(self, run: Run, name: str, inputs: Mapping[str, Any]) -> StepRow | None:
        self._database.check()
        self._database.before_write()
        begun = super().begin(run, name, inputs)
        self._database.after_write()
        return begun

    def end(self, run: Run, name: str, state: StepState, **ending: Any) -> bool:
        self._database.check()
        self._database.before_write()
        written = super().end(run, name, state, **ending)
        self._database.after_write()
        return written


class RunBookThere(FakeRunBook):
    def __init__(self, clock: FakeClock, database: Database) -> None:
        super().__init__(clock)
        self._database = database

    def begin(self, kind: str, trigger: str) -> Run | None:
        self._database.check()
        return super().begin(kind, trigger)

    def abandoned(self, kind: str) -> Run | None:
        self._database.check()
        return super().abandoned(kind)

    def keep_alive(self, run: Run) -> bool:
        self._database.check()
        return super().keep_alive(run)

    def release(self, run: Run) -> bool:
        self._database.check()
        return super().release(run)

    def finish(self, run: Run, state: Any, **ending: Any) -> bool:
        self._database.check()
        self._database.before_write()
        return super().finish(run, state, **ending)


class Stage:
    """One database and clock, and any number of schedulers on it, made by `night`."""

    def __init__(self, *steps: Step, max_attempts: int = 3) -> None:
        self.clock = FakeClock()
        self.database = Database(self.clock)
        self.runs = RunBookThere(self.clock, self.database)
        self.book = NightBookThere(self.clock, self.runs, self.database)
        self.steps: Sequence[Step] = steps
        self.stopping = False
        self.pauses: list[float] = []
        self.reports: list[Ending] = []
        self._max_attempts = max_attempts

    def night(self) -> Night:
        """Of a scheduler that just started."""
        return Night(
            runs=self.runs,
            chain=Chain(
                book=self.book,
                clock=self.clock,
                stopping=lambda: self.stopping,
                pause=self.pause,
                max_attempts=self._max_attempts,
                retry_pause_s=30.0,
            ),
            steps=self.steps,
            report=self._report,
            clock=self.clock,
            resume_within=timedelta(hours=12),
        )

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        return self.stopping

    def run(self) -> Run:
        """Tonight's run as recorded."""
        self.night().run("schedule")
        return self.last

    @property
    def last(self) -> Run:
        return self.runs.newest(1)[0]

    def row(self, name: str) -> StepRow:
        return next(row for row in self.book.steps(self.last.run_id) if row.name == name)

    def states(self) -> dict[str, StepState]:
        return {row.name: row.state for row in self.book.steps(self.last.run_id)}

    def _report(self, ending: Ending) -> Step:
        def write(work: Work) -> None:
            del work
            self.reports.append(ending)

        return FakeStep(REPORT, write)
