"""The chain: a night's steps one after the other, each recorded as it begins and ends, so that a crash is gone on from.

A step that was done is not done again. One that was running when its scheduler died is tried anew, so every step can be
repeated: what it makes has a name that follows from the night, and it looks for that first.
"""

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Any, Final, Protocol, TypeAlias

import structlog

from scheduler.facts import Facts
from services.domain.errors import CatalogDown, NightjarError, Reason
from services.domain.nights import NightBook, StepRow, StepState
from services.domain.ports import Clock
from services.domain.runs import Run
from services.patience import Patience

PERMANENT: Final = frozenset(
    {
        Reason.BAD_DATA,
        Reason.INVALID_REQUEST,
        Reason.INVALID_SETTINGS,
        Reason.MISSING_DEPENDENCY,
        Reason.NOT_ENOUGH_DATA,
        Reason.UNFIT_TO_START_FROM,
        Reason.UNKNOWN_VERSION,
    }
)
"""What another attempt an hour later would find again."""
LONGEST_PAUSE_S: Final = 1_800.0  # larger: a short night waits in vain; smaller: attempts are over before a cure
LOG_LINES: Final = 200  # of a step, in memory; the night book keeps the end of them

Outputs: TypeAlias = Mapping[str, Any]

log = structlog.get_logger(__name__)


class StepFailed(Exception):
    """A step did not do what it is for; the message is one sentence for people."""

    def __init__(self, sentence: str, *, retry: bool = True, timed_out: bool = False) -> None:
        super().__init__(sentence)
        self.retry = retry
        self.timed_out = timed_out


class StepRefused(Exception):
    """A step did its work, and what it found ends the night: `sentence` says what, `outputs` has the figures."""

    def __init__(self, sentence: str, outputs: Outputs) -> None:
        super().__init__(sentence)
        self.outputs = outputs


@dataclass(frozen=True)
class Work:
    """What a step gets. `keep_going` turns false when the scheduler stops, the night is another's, or time is up."""

    run: Run
    facts: Facts
    keep_going: Callable[[], bool]
    is_ours: Callable[[], bool]
    """Turns false when another scheduler has taken the night over: what runs elsewhere is then its own, too."""
    note: Callable[[Mapping[str, Any]], None]
    """Adds a line to the step's log."""
    patience: Patience
    """With a database that is away."""
    timeout_s: float
    """Seconds from the step's begin until time is up."""


class Step(Protocol):
    """One step. Raises StepFailed, StepRefused or a NightjarError; what it returns is JSON, for the steps after it."""

    @property
    def name(self) -> str: ...

    @property
    def timeout_s(self) -> float: ...

    @property
    def may_fail(self) -> bool:
        """Whether the night goes on without it."""
        ...

    def inputs(self, facts: Facts) -> Mapping[str, Any]:
        """What it goes by, for whoever reads the night."""
        ...

    def run(self, work: Work) -> Outputs: ...


class Ended(Exception):
    """The night is over before its last step. `state` is that of the step at fault."""

    def __init__(self, name: str, state: StepState, sentence: str, *, timed_out: bool = False) -> None:
        super().__init__(sentence)
        self.name = name
        self.state = state
        self.timed_out = timed_out


class LeftOff(Exception):
    """The night is not over, but not ours to go on with: the scheduler stops, or another one took over."""


@dataclass(frozen=True)
class Chain:
    """Does steps and records them. `max_attempts` of each, `retry_pause_s` before the second, then twice as long.

    `stopping` turns true when the scheduler is asked to stop; `pause` waits so many seconds, or until that, and returns
    it.
    """

    book: NightBook
    clock: Clock
    stopping: Callable[[], bool]
    pause: Callable[[float], bool]
    max_attempts: int
    retry_pause_s: float

    def run(self, run: Run, steps: Sequence[Step], is_ours: Callable[[], bool]) -> Facts:
        """What all steps found. Raises Ended, LeftOff, and CatalogDown when the database stays away."""
        rows = self._rows(run)
        facts = self._facts(run, rows)
        for step in steps:
            row = rows.get(step.name)
            if row is None or not row.state.lets_go_on:
                outputs = _Attempts(self, run, step, facts, is_ours).until_done(row)
                if outputs is not None:
                    facts = Facts(run.run_id, {**facts.outputs, step.name: outputs})
        return facts

    def once_more(self, run: Run, step: Step, is_ours: Callable[[], bool]) -> None:
        """Does a step whatever became of it before. Raises as `run` does."""
        _Attempts(self, run, step, self.facts(run), is_ours).until_done(None)

    def facts(self, run: Run) -> Facts:
        """What the steps that are done found. Raises CatalogDown when the database stays away."""
        return self._facts(run, self._rows(run))

    def _rows(self, run: Run) -> Mapping[str, StepRow]:
        return {row.name: row for row in self.patience.outlast(lambda: self.book.steps(run.run_id))}

    @property
    def patience(self) -> Patience:
        """With a database that is away."""
        return Patience(self.clock, self.pause)

    def _facts(self, run: Run, rows: Mapping[str, StepRow]) -> Facts:
        done = {name: row.outputs or {} for name, row in rows.items() if row.state.lets_go_on}
        return Facts(run.run_id, done)


@dataclass(frozen=True)
class _Attempts:
    """The attempts at one step."""

    chain: Chain
    night: Run
    step: Step
    facts: Facts
    is_ours: Callable[[], bool]

    def until_done(self, row: StepRow | None) -> Outputs | None:
        """What the step found; None for one that may fail and did. Raises Ended and LeftOff."""
        if row is not None and row.state is StepState.REFUSED:
            raise Ended(self.step.name, StepState.REFUSED, row.detail)
        attempts = 0 if row is None else row.attempts
        # Also when every attempt before took the scheduler with it: no row says FAILED then.
        failure = StepFailed(row.detail if row is not None and row.detail else "Its process died each time.")
        while attempts < self.chain.max_attempts:
            if attempts and self.chain.pause(self._pause_s(attempts)):
                raise LeftOff
            attempts += 1
            try:
                return self._attempt()
            except StepFailed as error:
                failure = error
                if not error.retry:
                    break
        if self.step.may_fail:
            log.warning("night_goes_on_without", run_id=self.night.run_id, step=self.step.name, why=str(failure))
            return None
        raise Ended(self.step.name, StepState.FAILED, str(failure), timed_out=failure.timed_out)

    def _attempt(self) -> Outputs:
        """Raises StepFailed, recorded; Ended; LeftOff."""
        self._begin()
        lines = _Lines()
        end_time = self.chain.clock.now() + timedelta(seconds=self.step.timeout_s)

        def in_time() -> bool:
            return self.chain.clock.now() < end_time

        work = Work(
            run=self.night,
            facts=self.facts,
            keep_going=lambda: self.is_ours() and not self.chain.stopping() and in_time(),
            is_ours=self.is_ours,
            note=lines.add,
            patience=self.chain.patience,
            timeout_s=self.step.timeout_s,
        )
        try:
            outputs = self.step.run(work)
        except StepRefused as refusal:
            self._end(StepState.REFUSED, lines, str(refusal), refusal.outputs)
            raise Ended(self.step.name, StepState.REFUSED, str(refusal)) from refusal
        except Exception as error:  # the outermost frame of a step
            if not self.is_ours():
                raise LeftOff from error
            if self.chain.stopping():
                self._end(StepState.INTERRUPTED, lines, "The scheduler was asked to stop.")
                raise LeftOff from error
            failed = _failure(error)
            if not in_time():
                failed = StepFailed(f"It took longer than {self.step.timeout_s:g} s and was ended.", timed_out=True)
            self._end(StepState.FAILED, lines, str(failed))
            raise failed from error
        self._end(StepState.DONE, lines, "", outputs)
        return outputs

    def _begin(self) -> None:
        name, inputs = self.step.name, self.step.inputs(self.facts)
        begun = self._outlast(lambda: self.chain.book.begin(self.night, name, inputs))
        if begun is None:
            raise LeftOff
        log.info("step_started", run_id=self.night.run_id, step=name, attempt=begun.attempts)

    def _end(self, state: StepState, lines: "_Lines", detail: str, outputs: Outputs | None = None) -> None:
        log.info("step_ended", run_id=self.night.run_id, step=self.step.name, state=state.value, detail=detail)

        def write() -> bool:
            return self.chain.book.end(
                self.night, self.step.name, state, outputs=outputs, detail=detail, log=lines.text
            )

        if not self._outlast(write):
            raise LeftOff

    def _outlast(self, write: Callable[[], Any]) -> Any:
        """A database that stays away ends the night here; its lease runs out, and whoever comes next goes on."""
        try:
            return self.chain.patience.outlast(write)
        except CatalogDown as error:
            log.warning("night_left_off", run_id=self.night.run_id, step=self.step.name, why=str(error))
            raise LeftOff from error

    def _pause_s(self, attempts: int) -> float:
        return min(self.chain.retry_pause_s * 2.0 ** (attempts - 1), LONGEST_PAUSE_S)


class _Lines:
    """The newest lines that a step said."""

    def __init__(self) -> None:
        self._lines: list[str] = []

    def add(self, said: Mapping[str, Any]) -> None:
        self._lines.append(json.dumps(said, default=str))
        del self._lines[:-LOG_LINES]

    @property
    def text(self) -> str:
        return "\n".join(self._lines)


def _failure(error: Exception) -> StepFailed:
    if isinstance(error, StepFailed):
        return error
    if isinstance(error, NightjarError):
        return StepFailed(str(error), retry=error.reason not in PERMANENT)
    log.error("step_broke", exc_info=error)
    return StepFailed(f"Unexpected {type(error).__name__}; the scheduler's log has the rest.")
