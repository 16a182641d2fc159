"""One night: train, then gate and promote, all of it recorded in the run book."""

import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import timedelta
from enum import Enum, auto
from typing import Final, Protocol, TypeAlias

import structlog

from services.domain.errors import CatalogDown, NightjarError
from services.domain.ids import ModelVersion
from services.domain.models import Verdict
from services.domain.ports import Clock, ModelRegistry, Notice
from services.domain.runs import Run, RunBook, RunState
from services.patience import Patience
from services.registry.gate import GateRules
from services.registry.promotion import gate_and_promote
from services.registry.rollout import Rollout

KIND: Final = "night"
ACTOR: Final = "scheduler"
KEEP_ALIVE: Final = timedelta(seconds=5)  # larger: nearer to the lease's 60 s; smaller: idle writes to the database

_Ended: TypeAlias = tuple[RunState, ModelVersion | None, str]
"""How a night ended: the state, the version it made, and one sentence."""

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
    """The use case and what it stands on. One object a process; its methods may be called from several threads.

    `stopping` turns true when the scheduler is asked to stop; `pause` waits so many seconds, or until that, and
    returns it.
    """

    runs: RunBook
    registry: ModelRegistry
    notice: Notice
    launcher: TrainingLauncher
    rules: GateRules
    clock: Clock
    stopping: Callable[[], bool]
    pause: Callable[[float], bool]
    rollout: Rollout | None = None
    """How the workers get ready for a promotion; None: each loads when it sees the change."""
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)

    def run(self, trigger: str) -> None:
        """Runs one night unless another one runs on this database. Raises CatalogDown when it cannot even begin."""
        # Asked here before the run book: after an outage it would take our own night's lease for abandoned.
        if not self._busy.acquire(blocking=False):
            log.warning("night_skipped", trigger=trigger, why="this scheduler is running one")
            return
        try:
            run = self.runs.begin(KIND, trigger)
            if run is None:
                log.warning("night_skipped", trigger=trigger, why="another run is going on")
                return
            log.info("night_started", run_id=run.run_id, trigger=trigger)
            self._record(run, *self._outcome(run))
        finally:
            self._busy.release()

    def sweep(self) -> None:
        """Marks as failed the runs whose process died; blocks.

        Not while a night runs here: after a database outage its lease has run out too, and it is about to be renewed.
        A dead run of another process waits until the night is over; `begin` would have found it anyway.
        """
        if self._busy.locked():
            return
        try:
            for abandoned in self.runs.fail_abandoned():
                log.warning("run_abandoned", run_id=abandoned.run_id, start_time=abandoned.start_time.isoformat())
        except CatalogDown as error:
            log.warning("catalog_down", error=str(error))

    def _outcome(self, run: Run) -> _Ended:
        try:
            return self._train_and_judge(run)
        except NightjarError as error:
            return RunState.FAILED, None, str(error)
        except Exception as error:  # the outermost frame of this thread
            log.exception("night_broke", run_id=run.run_id)
            return RunState.FAILED, None, f"Unexpected {type(error).__name__}; the log has the rest."

    def _train_and_judge(self, run: Run) -> _Ended:
        lease = _Lease(self, run)
        end = self.launcher.run(lease.holds)
        if end.outcome is Outcome.TIMED_OUT:
            return RunState.TIMED_OUT, None, end.detail
        if end.outcome is not Outcome.COMPLETED or end.version is None:
            return RunState.FAILED, None, end.detail
        try:
            verdict = self._judge(lease, end.version)
        except CatalogDown as error:
            return RunState.FAILED, end.version, str(error)
        if verdict is None:
            return RunState.FAILED, end.version, "Another run took over before this one could be judged."
        if verdict.passed:
            return RunState.SUCCEEDED, end.version, "It passed the gate and is live."
        return RunState.REFUSED, end.version, " ".join(each.sentence for each in verdict.findings if not each.passed)

    def _judge(self, lease: "_Lease", version: ModelVersion) -> Verdict | None:
        """The gate's verdict, and the promotion it allows; None when the lease was lost. Raises CatalogDown."""

        def once() -> Verdict | None:
            # The lease first, each time: it has run out in an outage, and lives again unless somebody took over.
            if not lease.renew():
                return None
            return gate_and_promote(self.registry, self.notice, version, self.rules, ACTOR, rollout=self.rollout)

        return self._patience.outlast(once)

    def _record(self, run: Run, state: RunState, version: ModelVersion | None, detail: str) -> None:
        log.info("night_ended", run_id=run.run_id, state=state.value, version=version, detail=detail)
        try:
            if not self._patience.outlast(lambda: self.runs.finish(run.run_id, state, version=version, detail=detail)):
                log.warning("night_not_recorded", run_id=run.run_id, why="its lease ran out before")
        except CatalogDown as error:
            # The lease runs out by itself, and the run is then marked as failed.
            log.warning("night_not_recorded", run_id=run.run_id, why=str(error))

    @property
    def _patience(self) -> Patience:
        return Patience(self.clock, self.pause)


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
