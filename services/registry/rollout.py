"""The first phase of a swap: every worker gets a version ready, and only then may it be made live."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.domain.errors import CatalogDown, SwapUnderWay, WorkersNotReady
from services.domain.fleet import Preparation
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.domain.ports import Clock, Fleet, Notice
from services.registry.readiness import Readiness

POLL_S: Final = 0.05  # larger: the flip waits for nothing; smaller: questions to the database while workers load

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Rollout:
    """How versions are prepared. notice: wakes the workers. min_ready: see SwapSettings.

    then: told of each change once it is made, such as to end the trials of what is live now. May raise CatalogDown.

    `pause` waits for so many seconds, or until the process is asked to stop, and returns True then.
    """

    fleet: Fleet
    notice: Notice
    clock: Clock
    pause: Callable[[float], bool]
    timeout: timedelta
    min_ready: float
    then: Callable[[Assignment], object] = lambda _: None

    def settle(self, assigned: Assignment) -> None:
        """Tells `then`; the change is made, so a database that went away meanwhile fails nothing."""
        try:
            self.then(assigned)
        except CatalogDown as error:
            log.warning("swap_not_settled", generation=assigned.generation, error=str(error))

    @contextmanager
    def prepared(self, version: ModelVersion, expected_generation: int, *, is_urgent: bool = False) -> Iterator[None]:
        """Within it enough workers hold the version, and no other is being prepared; blocks.

        Where all hold it already, or nobody serves, there is nothing to wait for. is_urgent: takes the place of a
        preparation that is under way. Raises WorkersNotReady, SwapUnderWay, CatalogDown.
        """
        if all(version in worker.held for worker in self.fleet.workers()):
            yield
            return
        preparation = self._opened(version, expected_generation, is_urgent=is_urgent)
        log.info("preparation_opened", version=version, number=preparation.number)
        self._announce(preparation)
        try:
            self._wait(preparation)
            yield
        finally:
            self._close(preparation)

    def _opened(self, version: ModelVersion, expected_generation: int, *, is_urgent: bool) -> Preparation:
        """Waits for another preparation to end, no longer than that may take."""
        give_up_time = self.clock.now() + self.timeout
        while True:
            now = self.clock.now()
            opened = self.fleet.open(version, expected_generation, now + self.timeout, preempt=is_urgent)
            if opened is not None:
                return opened
            if now >= give_up_time:
                raise SwapUnderWay("Another version is being prepared; look at `nightjar models list` and try again.")
            self._pause()

    def _wait(self, preparation: Preparation) -> None:
        """Returns when enough workers are ready. A database that is away for a while only delays."""
        readiness, deadline = Readiness(preparation, self.min_ready), preparation.deadline
        while True:
            now = self.clock.now()
            try:
                if self._look(preparation, readiness, now, is_late=now >= deadline):
                    return
            except CatalogDown:
                if now >= preparation.deadline + self.timeout:
                    raise
                readiness.lost_sight()
                deadline = max(deadline, now + readiness.RETURN)
            self._pause()

    def _look(self, preparation: Preparation, readiness: Readiness, now: datetime, *, is_late: bool) -> bool:
        """Whether the flip may come; raises WorkersNotReady when it can't, SwapUnderWay when its place was taken."""
        current, workers = self.fleet.preparation(), self.fleet.workers()
        if current != preparation and not preparation.is_over(now):
            raise SwapUnderWay(f"The preparation of {preparation.version} gave way to a rollback; nothing changed.")
        for worker_id in readiness.gone(workers, now):
            log.warning("worker_is_gone", worker_id=worker_id)
            self.fleet.leave(worker_id)
        return readiness.decides(workers, now, is_late=is_late)

    def _pause(self) -> None:
        if self.pause(POLL_S):
            raise WorkersNotReady("The swap was given up, since this process was told to stop; nothing changed.")

    def _announce(self, preparation: Preparation) -> None:
        try:
            self.notice.announce(preparation.number)
        except Exception as error:  # noqa: BLE001 - workers also poll
            log.warning("preparation_notice_failed", number=preparation.number, error=str(error))

    def _close(self, preparation: Preparation) -> None:
        try:
            self.fleet.close(preparation.number)
        except CatalogDown as error:  # it is over by itself some time after its deadline
            log.warning("preparation_not_closed", number=preparation.number, error=str(error))
