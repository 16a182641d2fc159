"""A new model before it serves: it answers what was asked for a moment ago, and its answers are cached.

So a model that fails on real users is found out before anybody gets its answers, and a swap does not send every user
past the cache at once. Measured by `make bench-swap`: see docs/experiments.md.
"""

import asyncio
import time
from collections.abc import Callable
from concurrent.futures import Executor
from typing import Final

import structlog

from services.domain.errors import BundleBroken, FeatureStoreDown
from services.domain.ports import Clock, HistoryReader, ResultCache
from services.inference.availability import AvailabilitySlot, Snapshot
from services.inference.question import Question
from services.inference.recent_requests import RecentRequests
from services.inference.serving_model import ServingModel

TRIED: Final = 32  # always, cached or not. Larger: longer until ready; smaller: fewer kinds of users tried
PAUSE_S: Final = 0.004  # after each. Larger: a swap takes longer; smaller: requests feel it, on few cores
PATIENCE_S: Final = 5.0  # larger: a swap waits for answers that few will ask for; smaller: more find nothing cached

log = structlog.get_logger(__name__)


class TryingOut:
    """snapshot: gives what the catalog says now; None before it was heard of. threads: where answers are worked out.

    timer: seconds, never set back.
    """

    def __init__(
        self,
        recent: RecentRequests,
        histories: HistoryReader,
        cache: ResultCache,
        snapshot: Callable[[], Snapshot | None],
        clock: Clock,
        threads: Executor,
        timer: Callable[[], float] = time.monotonic,
    ) -> None:
        self._recent = recent
        self._histories = histories
        self._cache = cache
        self._snapshot = snapshot
        self._clock = clock
        self._threads = threads
        self._timer = timer

    async def __call__(self, model: ServingModel) -> None:
        """Raises BundleBroken when the model fails on any of what it is asked; a store that is down ends the trial."""
        requests, end = self._recent.newest(), self._timer() + PATIENCE_S
        if not requests:
            return
        availability, problems, num_answered = await self._availability(model), list[str](), 0
        for number, request in enumerate(requests):
            if self._timer() > end:
                break
            try:
                history = await self._histories.read(request.user_id)
            except FeatureStoreDown:
                break
            question = Question(model, availability.of(model), request.user_id, history, request.k)
            try:
                num_answered += await self._answered(question, is_spared=number >= TRIED)
            except BundleBroken as error:
                problems.append(str(error))
            await asyncio.sleep(PAUSE_S)
        if problems:
            lists = f"{len(problems)} lists that were asked for lately"
            raise BundleBroken(f"{model.version} fails on {lists}: {problems[0]}")
        log.info("model_tried_out", version=model.version, num_asked=len(requests), num_answered=num_answered)

    async def _answered(self, question: Question, *, is_spared: bool) -> bool:
        """Whether an answer was worked out, and cached. is_spared: not when another worker did so already."""
        if not question.is_personal:
            return False
        user_id, key = question.user_id, question.key
        if is_spared and (value := await self._cache.get(user_id, key)) and question.decoded(value):
            return False
        answer = await asyncio.get_running_loop().run_in_executor(self._threads, question.worked_out)
        await self._cache.put(user_id, key, question.encoded(*answer))
        return True

    async def _availability(self, model: ServingModel) -> AvailabilitySlot:
        """For this model alone: in the slot that requests are answered by, each would work all out anew."""
        availability, snapshot = AvailabilitySlot(self._clock), self._snapshot()
        if snapshot is not None:
            availability.replace(snapshot, None)
            await asyncio.get_running_loop().run_in_executor(self._threads, availability.prepare, model)
        return availability
