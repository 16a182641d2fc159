"""One night: train, then gate and promote, all of it recorded in the run book."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from enum import Enum, auto
from typing import Final, Protocol

import structlog

from services.domain.errors import CatalogDown, NightjarError
from services.domain.ids import ModelVersion
from services.domain.ports import Clock, LiveModelNotice, ModelRegistry
from services.domain.runs import Run, RunBook, RunState
from services.registry.gate import GateRules
from services.registry.promotion import gate_and_promote

KIND: Final = "night"
ACTOR: Final = "scheduler"
KEEP_ALIVE: Final = timedelta(seconds=5)  # larger: nearer to the lease's 60 s; smaller: idle writes to the database

log = structlog.get_logger(__name__)


class Outcome(Enum):
    COMPLETED = auto()
    FAILED = auto()
    TIMED_OUT = auto()
    STOPPED = auto()
    """Ended because it was told not to go on."""


@dataclass(frozen=True, slots=True)
class TrainingEnd:
    """How a training process ended; `version` is what it registered, `detail` one sentence for people."""

    outcome: Outcome
    version: ModelVersion | None = None
    detail: str = ""


class TrainingLauncher(Protocol):
    def run(self, keep_going: Callable[[], bool]) -> TrainingEnd:
        """Blocks until training ended. Asks `keep_going` about once a second and ends training when it says no."""
        ...


@dataclass(frozen=True)
class Night:
    """The use case and what it stands on. `stopping` turns true when the scheduler is asked to stop."""

    runs: RunBook
    registry: ModelRegistry
    notice: LiveModelNotice
    launcher: TrainingLauncher
    rules: GateRules
    clock: Clock
    stopping: Callable[[], bool]

    def run(self, trigger: str) -> None:
        """Runs one night unless another one runs on this database. Raises CatalogDown when it cannot even begin."""
        run = self.runs.begin(KIND, trigger)
        if run is None:
            log.warning("night_skipped", trigger=trigger, why="another run is going on")
            return
        log.info("night_started", run_id=run.run_id, trigger=trigger)
        try:
            state, version, detail = self._train_and_judge(run)
        except NightjarError as error:
            state, version, detail = RunState.FAILED, None, str(error)
        except Exception as error:  # the outermost frame of this thread
            log.exception("night_broke", run_id=run.run_id)
            state, version, detail = RunState.FAILED, None, f"Unexpected {type(error).__name__}; the log has the rest."
        self._record(run, state, version, detail)

    def _train_and_judge(self, run: Run) -> tuple[RunState, ModelVersion | None, str]:
        lease = _Lease(self, run)
        end = self.launcher.run(lease.holds)
        if end.outcome is Outcome.TIMED_OUT:
            return RunState.TIMED_OUT, None, end.detail
        if end.outcome is not Outcome.COMPLETED or end.version is None:
            return RunState.FAILED, None, end.detail
        if not lease.renew():
            return RunState.FAILED, end.version, "Another run took over before this one could be judged."
        verdict = gate_and_promote(self.registry, self.notice, end.version, self.rules, ACTOR)
        if verdict.passed:
            return RunState.SUCCEEDED, end.version, "It passed the gate and is live."
        return RunState.REFUSED, end.version, " ".join(each.sentence for each in verdict.findings if not each.passed)

    def _record(self, run: Run, state: RunState, version: ModelVersion | None, detail: str) -> None:
        log.info("night_ended", run_id=run.run_id, state=state.value, version=version, detail=detail)
        try:
            if not self.runs.finish(run.run_id, state, version=version, detail=detail):
                log.warning("night_not_recorded", run_id=run.run_id, why="its lease ran out before")
        except CatalogDown as error:
            # The lease runs out by itself, and the run is then marked as failed.
            log.warning("night_not_recorded", run_id=run.run_id, why=str(error))


class _Lease:
    """The run's claim to be the only one, renewed now and then; a database that is away for a while breaks nothing."""

    def __init__(self, night: Night, run: Run) -> None:
        self._night = night
        self._run = run
        self._asked_time = run.start_time

    def holds(self) -> bool:
        """False once the scheduler stops or the lease was lost."""
        if self._night.stopping():
            return False
        if self._night.clock.now() - self._asked_time < KEEP_ALIVE:
            return True
        try:
            return self.renew()
        except CatalogDown as error:
            log.warning("lease_not_renewed", run_id=self._run.run_id, why=str(error))
            return True

    def renew(self) -> bool:
        """Raises CatalogDown."""
        self._asked_time = self._night.clock.now()
        return self._night.runs.keep_alive(self._run.run_id)
