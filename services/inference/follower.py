"""The follower: keeps the model slot on the live assignment, woken by notices and by its own clock.

A worker that starts while the database is away gets the last bundle that served on its host (law 6).
"""

import asyncio
import time
from collections.abc import Awaitable, Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from services.domain.errors import CatalogDown
from services.domain.models import Assignment
from services.domain.ports import Clock, ModelRegistry, Notices
from services.inference.catalog_follower import CatalogFollower
from services.inference.live_bundle import LiveBundle, LiveBundleFile, locate
from services.inference.model_slot import ModelSlot
from services.inference.recorder import Recorder

log = structlog.get_logger(__name__)

FIRST_RETRY: Final = timedelta(seconds=1)  # smaller: a broken bundle is hashed over and over; larger: slow to mend
LONGEST_RETRY: Final = timedelta(seconds=60)  # larger: a mended store is noticed late; smaller: log and disk noise


class Follower(CatalogFollower):
    """Follows the live model. A failed load leaves the old model serving and is tried again, each time later.

    remembered: where the bundle of each swap is noted, for workers that start without a database.
    on_swap is awaited after each swap, e.g. to tell the health service.
    """

    def __init__(
        self,
        slot: ModelSlot,
        registry: ModelRegistry,
        notices: Notices,
        clock: Clock,
        recorder: Recorder,
        remembered: LiveBundleFile,
        on_swap: Callable[[], Awaitable[None]],
    ) -> None:
        super().__init__(notices)
        self._slot = slot
        self._registry = registry
        self._clock = clock
        self._recorder = recorder
        self._remembered = remembered
        self._on_swap = on_swap
        self._has_recalled = False
        self._failed_generation = 0
        self._retry_pause = FIRST_RETRY
        self._retry_time: datetime | None = None

    async def catch_up(self) -> None:
        """Reads the live assignment once and swaps when its generation is not the one that serves."""
        try:
            assignment = await self._ask(self._registry.live)
        except CatalogDown as error:
            self._catalog_went(error, still_serving=self._slot.version)
            await self._fall_back()
            return
        self._catalog_came_back()
        if assignment is not None and assignment.generation != self._slot.generation and self._is_due(assignment):
            await self._follow(assignment)

    def _is_due(self, assignment: Assignment) -> bool:
        """A new generation at once; one that failed when its pause is over."""
        if assignment.generation != self._failed_generation or self._retry_time is None:
            return True
        return self._clock.now() >= self._retry_time

    async def _follow(self, assignment: Assignment) -> None:
        try:
            bundle = await self._ask(partial(locate, self._registry, assignment))
            await self._swap_to(bundle, "model_swapped")
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a new model, the old one goes on serving
            self._failed(assignment, error)
            await self._fall_back()
            return
        self._retry_time, self._retry_pause, self._failed_generation = None, FIRST_RETRY, 0
        await self._on_swap()
        try:
            await asyncio.to_thread(self._remembered.remember, bundle)
        except OSError as error:
            log.warning("live_bundle_not_remembered", version=bundle.version, error=str(error))

    async def _fall_back(self) -> None:
        """Without any model: the last one that served on this host, if it is another than the one that failed.

        Tried once: a bundle that does not load now will not load at the next poll either, and would be hashed anew.
        """
        if self._slot.version is not None or self._has_recalled:
            return
        self._has_recalled = True
        bundle = await asyncio.to_thread(self._remembered.recall)
        if bundle is None or bundle.generation == self._failed_generation:
            return
        try:
            await self._swap_to(bundle, "last_known_model_loaded")
        except Exception as error:  # noqa: BLE001 - it is the last resort; polling goes on
            log.error("last_known_model_broken", version=bundle.version, error=f"{type(error).__name__}: {error}")
        else:
            await self._on_swap()

    async def _swap_to(self, bundle: LiveBundle, event: str) -> None:
        start, old_version = time.perf_counter(), self._slot.version
        await self._slot.swap_to(bundle)
        self._recorder.model_swap(succeeded=True)
        self._recorder.model_generation(bundle.generation)
        load_s = round(time.perf_counter() - start, 3)
        log.info(
            event, old_version=old_version, new_version=bundle.version, generation=bundle.generation, load_s=load_s
        )

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
