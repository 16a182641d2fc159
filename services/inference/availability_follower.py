"""The follower of the catalog: keeps the availability slot on what is hidden and what has a window.

A worker that starts while the database is away gets what a worker of its host read last (law 6).
"""

import asyncio
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from services.domain.errors import CatalogDown, ModelNotReady
from services.domain.ports import AvailabilitySource, Clock, Notices
from services.inference.availability import EMPTY, AvailabilitySlot, Snapshot, Windows
from services.inference.availability_file import AvailabilityFile
from services.inference.catalog_follower import CatalogFollower
from services.inference.serving_model import ServingModel

log = structlog.get_logger(__name__)

REMEMBER_EVERY: Final = timedelta(seconds=10)  # larger: a start without the database knows less; smaller: disk writes


class AvailabilityFollower(CatalogFollower):
    """Follows the items' availability. live_model: returns the model that serves, or raises ModelNotReady."""

    def __init__(
        self,
        slot: AvailabilitySlot,
        source: AvailabilitySource,
        notices: Notices,
        clock: Clock,
        remembered: AvailabilityFile,
        live_model: Callable[[], ServingModel],
    ) -> None:
        super().__init__(notices)
        self._slot = slot
        self._source = source
        self._clock = clock
        self._remembered = remembered
        self._live_model = live_model
        self._read = EMPTY
        self._remembered_version: int | None = None
        self._remember_time: datetime | None = None

    async def catch_up(self) -> None:
        """Reads what changed since the last time and makes it count from the next request on."""
        try:
            snapshot = await self._newest()
        except CatalogDown as error:
            self._catalog_went(error, still_hiding_as_of=None if self._slot.snapshot is None else self._read.version)
            await self._fall_back()
            return
        self._catalog_came_back()
        if snapshot is not self._slot.snapshot:
            start = time.perf_counter()
            await self._replace(snapshot)
            self._read = snapshot
            load_s = round(time.perf_counter() - start, 3)
            log.info(
                "availability_loaded", version=snapshot.version, num_restricted=len(snapshot.restricted), load_s=load_s
            )
        await self._remember()

    async def _newest(self) -> Snapshot:
        """The snapshot of this moment; the very one that was read last when nothing has changed since."""
        known = self._read
        changes = await self._ask(partial(self._source.availability_since, known.version))
        if changes.version < known.version:  # a database made anew counts from 0 again
            known = EMPTY
            changes = await self._ask(partial(self._source.availability_since, 0))
        if changes.version == known.version and not changes.items:
            return known
        return await asyncio.to_thread(known.after, changes)

    async def _replace(self, snapshot: Snapshot) -> None:
        """Works out in a thread what the snapshot means for the live model, so that no request waits for it."""
        try:
            windows = await asyncio.to_thread(Windows.of, snapshot, self._live_model())
        except ModelNotReady:
            windows = None
        self._slot.replace(snapshot, windows)

    async def _fall_back(self) -> None:
        """Without any snapshot: the last one that a worker of this host read, if there is one."""
        if self._slot.snapshot is not None:
            return
        snapshot = await asyncio.to_thread(self._remembered.recall)
        if snapshot is not None:
            await self._replace(snapshot)
            log.info("last_known_availability_loaded", version=snapshot.version)

    async def _remember(self) -> None:
        now = self._clock.now()
        is_due = self._remember_time is None or now >= self._remember_time + REMEMBER_EVERY
        if self._remembered_version == self._read.version or not is_due:
            return
        self._remember_time = now
        try:
            await asyncio.to_thread(self._remembered.remember, self._read)
        except OSError as error:
            log.warning("availability_not_remembered", version=self._read.version, error=str(error))
        else:
            self._remembered_version = self._read.version
