"""The follower: keeps the model slot on the live assignment, woken by notices and by its own clock.

What was prepared for a swap, or served before, is flipped to without a load; see `fleet_member` for the preparing. A
worker that starts while the database is away gets the last bundle that served on its host (law 6).
"""

import asyncio
import time
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from services.domain.errors import CatalogDown
from services.domain.fleet import GRACE
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.domain.ports import Clock, ModelRegistry, Notices
from services.inference.catalog_follower import CatalogFollower
from services.inference.live_bundle import LiveBundle, LiveBundleFile
from services.inference.model_slot import ModelSlot
from services.inference.recorder import Recorder
from services.inference.standing import Standing

log = structlog.get_logger(__name__)

FIRST_RETRY: Final = timedelta(seconds=1)  # smaller: a broken bundle is hashed over and over; larger: slow to mend
LONGEST_RETRY: Final = timedelta(seconds=60)  # larger: a mended store is noticed late; smaller: log and disk noise


class Follower(CatalogFollower):
    """Follows the live model. A failed load leaves the old model serving and is tried again, each time later.

    remembered: where the bundle of each swap is noted, for workers that start without a database.
    standing: told whether this worker serves what it should.
    """

    def __init__(
        self,
        slot: ModelSlot,
        registry: ModelRegistry,
        notices: Notices,
        clock: Clock,
        recorder: Recorder,
        remembered: LiveBundleFile,
        standing: Standing,
    ) -> None:
        super().__init__(notices)
        self._slot = slot
        self._registry = registry
        self._clock = clock
        self._recorder = recorder
        self._remembered = remembered
        self._standing = standing
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
            await self._standing.fell_behind(is_spared=False)  # nobody knows any longer whether others can
            return
        self._catalog_came_back()
        if assignment is None or assignment.generation == self._slot.generation:
            return
        if await self._flipped(assignment):
            return
        await self._fell_behind(assignment)
        if self._is_due(assignment):
            await self._load(assignment)

    def _is_due(self, assignment: Assignment) -> bool:
        """A new generation at once; one that failed when its pause is over."""
        if assignment.generation != self._failed_generation or self._retry_time is None:
            return True
        return self._clock.now() >= self._retry_time

    async def _flipped(self, assignment: Assignment) -> bool:
        """Whether the assignment serves now, since its version was held."""
        old_version = self._slot.version
        bundle = await self._slot.flip(assignment)
        if bundle is None:
            return False
        self._swapped("model_swapped", bundle, old_version)
        self._retry_time, self._retry_pause, self._failed_generation = None, FIRST_RETRY, 0
        await self._standing.serves()
        try:
            await asyncio.to_thread(self._remembered.remember, bundle)
        except OSError as error:
            log.warning("live_bundle_not_remembered", version=bundle.version, error=str(error))
        return True

    async def _load(self, assignment: Assignment) -> None:
        """For a worker that was not ready when the others were. Asks again before it swaps: it may be too late."""
        start = time.perf_counter()
        try:
            registered = await self._ask(partial(self._registry.get, assignment.version))
            await self._slot.hold(registered, self._clock.now() + GRACE)
        except Exception as error:  # noqa: BLE001 - whatever is wrong with a new model, the old one goes on serving
            self._failed(assignment, error)
            await self._fall_back()
            await self._fell_behind(assignment)
            return
        log.info("model_loaded", version=assignment.version, load_s=round(time.perf_counter() - start, 3))
        await self.catch_up()

    async def _fell_behind(self, assignment: Assignment) -> None:
        if self._slot.version is None:  # its health says so since it started
            return
        try:
            is_spared = await self._ask(partial(self._standing.can_be_spared, assignment))
        except CatalogDown:
            is_spared = False
        await self._standing.fell_behind(is_spared=is_spared)

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
            await self._slot.swap_to(bundle)
        except Exception as error:  # noqa: BLE001 - it is the last resort; polling goes on
            log.error("last_known_model_broken", version=bundle.version, error=f"{type(error).__name__}: {error}")
        else:
            self._swapped("last_known_model_loaded", bundle, None)
            await self._standing.serves()

    def _swapped(self, event: str, bundle: LiveBundle, old_version: ModelVersion | None) -> None:
        self._recorder.model_swap(succeeded=True)
        self._recorder.model_generation(bundle.generation)
        log.info(event, old_version=old_version, new_version=bundle.version, generation=bundle.generation)

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
