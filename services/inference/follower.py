"""The follower: keeps the model slot on the live assignment, woken by notices and by its own clock."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from typing import Final

import structlog

from services.domain.errors import CatalogDown
from services.domain.models import Assignment
from services.domain.ports import Clock, LiveModelNotices, ModelRegistry
from services.inference.model_slot import ModelSlot
from services.inference.recorder import Recorder

log = structlog.get_logger(__name__)

FIRST_RETRY: Final = timedelta(seconds=1)  # smaller: a broken bundle is hashed over and over; larger: slow to mend
LONGEST_RETRY: Final = timedelta(seconds=60)  # larger: a mended store is noticed late; smaller: log and disk noise


class Follower:
    """One task of a worker. A failed load leaves the old model serving and is tried again, each time later.

    on_swap is awaited after each swap, e.g. to tell the health service.
    """

    def __init__(
        self,
        slot: ModelSlot,
        registry: ModelRegistry,
        notices: LiveModelNotices,
        clock: Clock,
        recorder: Recorder,
        on_swap: Callable[[], Awaitable[None]],
    ) -> None:
        self._slot = slot
        self._registry = registry
        self._notices = notices
        self._clock = clock
        self._recorder = recorder
        self._on_swap = on_swap
        self._catalog_is_down = False
        self._failed_generation = 0
        self._retry_pause = FIRST_RETRY
        self._retry_time: datetime | None = None

    async def run(self, poll_interval_s: float) -> None:
        """Follows until cancelled. Nothing that happens here ends it: the worker would serve an old model for good."""
        loop = asyncio.get_running_loop()
        while True:
            next_poll = loop.time() + poll_interval_s
            woken = False
            try:
                await self.catch_up()
                woken = await self._notices.wait(poll_interval_s)
            except Exception:
                log.exception("follower_failed")
            if not woken:  # a wait that cannot wait, or a fault at once, would be an endless loop at full speed
                await asyncio.sleep(next_poll - loop.time())

    async def catch_up(self) -> None:
        """Reads the live assignment once and swaps when its generation is not the one that serves."""
        assignment = await self._live_assignment()
        if assignment is not None and assignment.generation != self._slot.generation and self._is_due(assignment):
            await self._swap_to(assignment)

    async def _live_assignment(self) -> Assignment | None:
        try:
            assignment = await asyncio.to_thread(self._registry.live)
        except CatalogDown as error:
            if not self._catalog_is_down:  # said once, not at every poll
                log.warning("catalog_down", error=str(error), still_serving=self._slot.version)
            self._catalog_is_down = True
            return None
        if self._catalog_is_down:
            log.info("catalog_back")
        self._catalog_is_down = False
        return assignment

    def _is_due(self, assignment: Assignment) -> bool:
        """A new generation at once; one that failed when its pause is over."""
        if assignment.generation != self._failed_generation or self._retry_time is None:
            return True
        return self._clock.now() >= self._retry_time

    async def _swap_to(self, assignment: Assignment) -> None:
        start, old_version = time.perf_counter(), self._slot.version
        try:
            await self._slot.swap_to(assignment)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a new model, the old one goes on serving
            self._failed(assignment, error)
            return
        self._retry_time, self._retry_pause, self._failed_generation = None, FIRST_RETRY, 0
        self._recorder.model_swap(succeeded=True)
        self._recorder.model_generation(assignment.generation)
        load_s = round(time.perf_counter() - start, 3)
        log.info(
            "model_swapped",
            old_version=old_version,
            new_version=assignment.version,
            generation=assignment.generation,
            load_s=load_s,
        )
        await self._on_swap()

    def _failed(self, assignment: Assignment, error: Exception) -> None:
        again = assignment.generation == self._failed_generation
        self._retry_pause = min(self._retry_pause * 2, LONGEST_RETRY) if again else FIRST_RETRY
        self._retry_time = self._clock.now() + self._retry_pause
        self._failed_generation = assignment.generation
        self._recorder.model_swap(succeeded=False)
        log.error(
            "model_load_failed",
            version=assignment.version,
            generation=assignment.generation,
            still_serving=self._slot.version,
            retry_s=self._retry_pause.total_seconds(),
            error=f"{type(error).__name__}: {error}",
        )
