"""One night: begun, or gone on with where another scheduler left it, and its end recorded in the run book."""

import threading
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import timedelta

import structlog

from scheduler.chain import Chain, Ended, LeftOff, Step
from scheduler.facts import Facts
from services.domain.errors import CatalogDown
from services.domain.ids import ModelVersion
from services.domain.nights import NIGHT, StepState
from services.domain.ports import Clock
from services.domain.runs import NOBODY, Run, RunBook, RunState
from services.lease import kept_alive

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Ending:
    """How a night ended: the version it made, if any, and one sentence."""

    state: RunState
    version: ModelVersion | None
    detail: str


@dataclass(frozen=True)
class Night:
    """The use case and what it stands on. One object a process; its methods may be called from several threads.

    `resume_within`: a night that was left off is gone on with if it began at most so long ago; the data it pinned is
    stale after that.
    """

    runs: RunBook
    chain: Chain
    steps: Sequence[Step]
    report: Callable[[Ending], Step]
    """The last step, done however the night ended."""
    clock: Clock
    resume_within: timedelta
    _busy: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False, compare=False)
    _silent: list[Run] = field(default_factory=list, init=False, repr=False, compare=False)
    """The night that looked abandoned at the last sweep."""

    def run(self, trigger: str) -> None:
        """Runs a night, or goes on with one that was left off. Raises CatalogDown when it cannot even begin."""
        # Asked here before the run book: after an outage it would take our own night's lease for abandoned.
        if not self._busy.acquire(blocking=False):
            log.warning("night_skipped", trigger=trigger, why="this scheduler is running one")
            return
        try:
            run = self._left_off() or self.runs.begin(NIGHT, trigger)
            if run is None:
                log.warning("night_skipped", trigger=trigger, why="another scheduler is running one")
                return
            self._go_on(run)
        finally:
            self._busy.release()

    def sweep(self) -> None:
        """Goes on with a night whose scheduler is gone; call it about every ten seconds. Blocks until it ended.

        One that was given back is taken at once. Of one whose lease ran out, its holder must be silent for two sweeps:
        right after a database outage, or when the clock was set, every lease looks run out, and the living renew theirs
        within seconds.
        """
        if self._busy.locked():
            return
        try:
            # Looking holds nothing: a night that is asked for meanwhile must not be taken for a second one.
            run = self.runs.abandoned(NIGHT)
            if run is not None and (run.holder == NOBODY or run in self._silent):
                self._adopt()
                run = None
            self._silent[:] = [] if run is None else [run]
        except CatalogDown as error:
            log.warning("catalog_down", error=str(error))

    def _adopt(self) -> None:
        if not self._busy.acquire(blocking=False):
            return
        try:
            adopted = self._left_off()
            if adopted is not None:
                self._go_on(adopted)
        finally:
            self._busy.release()

    def _left_off(self) -> Run | None:
        """The night that nobody runs any more, now ours; None without one, and when it is too old to go on with."""
        abandoned = self.runs.abandoned(NIGHT)
        if abandoned is None:
            return None
        if self.clock.now() - abandoned.start_time > self.resume_within:
            for run in self.runs.fail_abandoned(NIGHT):
                log.warning("night_abandoned", run_id=run.run_id, start_time=run.start_time.isoformat())
            return None
        return self.runs.take_over(abandoned)

    def _go_on(self, run: Run) -> None:
        log.info("night_goes_on", run_id=run.run_id, trigger=run.trigger)
        with kept_alive(self.runs, run) as is_ours:
            try:
                ending = self._ending(run, is_ours)
                self._reported(run, ending, is_ours)
                self._record(run, ending)
            except (LeftOff, CatalogDown) as error:
                log.warning("night_left_off", run_id=run.run_id, is_ours=is_ours(), why=str(error))
                self._give_back(run)

    def _ending(self, run: Run, is_ours: Callable[[], bool]) -> Ending:
        """Raises LeftOff and CatalogDown."""
        try:
            facts = self.chain.run(run, self.steps, is_ours)
        except Ended as error:
            state = RunState.REFUSED if error.state is StepState.REFUSED else RunState.FAILED
            if error.timed_out:
                state = RunState.TIMED_OUT
            return Ending(state, best_known(self.chain.facts(run)), f"{error.name}: {error}")
        return Ending(RunState.SUCCEEDED, facts.chosen, "It passed the gate and went live.")

    def _reported(self, run: Run, ending: Ending, is_ours: Callable[[], bool]) -> None:
        """A night without its report is a night all the same. Raises LeftOff and CatalogDown."""
        try:
            self.chain.once_more(run, self.report(ending), is_ours)
        except Ended as error:
            log.warning("night_not_reported", run_id=run.run_id, why=str(error))

    def _record(self, run: Run, ending: Ending) -> None:
        """Raises CatalogDown."""
        log.info("night_ended", run_id=run.run_id, state=ending.state.value, detail=ending.detail)

        def finish() -> bool:
            return self.runs.finish(run, ending.state, version=ending.version, detail=ending.detail)

        if not self.chain.patience.outlast(finish):
            log.warning("night_not_recorded", run_id=run.run_id, why="another scheduler took over")

    def _give_back(self, run: Run) -> None:
        """So that whoever comes next need not wait for the lease to run out."""
        try:
            self.runs.release(run)
        except CatalogDown as error:
            log.warning("night_not_released", run_id=run.run_id, why=str(error))


def best_known(facts: Facts) -> ModelVersion | None:
    """The version that a night is about: the chosen one, else the only one that it trained."""
    if facts.chosen is not None:
        return facts.chosen
    trained = list(facts.trained.values())
    return trained[0] if len(trained) == 1 else None
