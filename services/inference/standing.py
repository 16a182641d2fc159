"""Whether callers should come to this worker: what its health says while it serves another model than it should.

It answers whoever calls, from the model it has (law 6). Health is advice to those that can go elsewhere, so a worker
that fell behind gives it only while enough others serve what it should; see docs/adr/0023-two-phase-swap.md.
"""

from collections.abc import Awaitable, Callable

import structlog

from services.domain.fleet import is_enough
from services.domain.models import Assignment
from services.domain.ports import Clock, Fleet

log = structlog.get_logger(__name__)


class Standing:
    """Tells callers to come, or to go elsewhere.

    min_ready: share of the workers, above 0 up to 1, that can do without the rest. tell: awaited with whether callers
    should come, e.g. to tell the health service.
    """

    def __init__(
        self, fleet: Fleet, worker_id: str, clock: Clock, min_ready: float, tell: Callable[[bool], Awaitable[None]]
    ) -> None:
        self._fleet = fleet
        self._worker_id = worker_id
        self._clock = clock
        self._min_ready = min_ready
        self._tell = tell
        self._is_spared = False

    async def serves(self) -> None:
        """Serves what it should, or the best there is."""
        self._is_spared = False
        await self._tell(True)

    def can_be_spared(self, assignment: Assignment) -> bool:
        """Whether enough others serve an assignment, or can at once; blocks. Raises CatalogDown."""
        now = self._clock.now()
        alive = [each for each in self._fleet.workers() if not each.is_silent(now)]
        num_ahead = sum(
            each.generation == assignment.generation or assignment.version in each.held
            for each in alive
            if each.worker_id != self._worker_id
        )
        return is_enough(num_ahead, len(alive), self._min_ready)

    async def fell_behind(self, *, is_spared: bool) -> None:
        """Serves another model than it should. Saying it again changes nothing."""
        if is_spared == self._is_spared:
            return
        self._is_spared = is_spared
        log.warning("worker_is_behind", goes_on_serving=not is_spared)
        await self._tell(not is_spared)
