"""The follower of the catalog: keeps the availability slot on what is hidden and what has a window.

A worker that starts while the database is away gets what a worker of its host read last (law 6).
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import datetime, timedelta
from functools import partial
from typing import Final

import structlog

from services.domain.errors import CatalogDown, ModelNotReady
from services.domain.items import AvailabilityChanges
from services.domain.ports import AvailabilitySource, Clock, Notices
from services.inference.availability import EMPTY, AvailabilitySlot, Snapshot, Windows
from services.inference.availability_file import AvailabilityFile
from services.inference.catalog_follower import CatalogFollower
from services.inference.serving_model import ServingModel

log = structlog.get_logger(__name__)

REMEMBER_EVERY: Final = timedelta(seconds=10)  # larger: a start without the database knows less; smaller: disk writes
REMEMBER_SHARE: Final = 0.01  # of a worker's time, whatever that takes; larger: requests feel it; smaller: as above


class AvailabilityFollower(CatalogFollower):
    """Follows the items' availability. live_model: returns the model that serves, or raises ModelNotReady.

    others: slots of models that answer beside it. They go by the snapshot of `slot`; here it is prepared for them.
    """

    def __init__(
        self,
        slot: AvailabilitySlot,
        source: AvailabilitySource,
        notices: Notices,
        clock: Clock,
        remembered: AvailabilityFile,
        live_model: Callable[[], ServingModel],
        others: Callable[[], Iterable[tuple[AvailabilitySlot, ServingModel]]] = tuple,
    ) -> None:
        super().__init__(notices)
        self._slot = slot
        self._source = source
        self._clock = clock
        self._remembered = remembered
        self._live_model = live_model
        self._others = others
        self._read = EMPTY
        self._remembered_version: int | None = None
        self._due_time: datetime | None = None

    async def catch_up(self) -> None:
        """Reads what changed since the last time and makes it count from the next request on."""
        try:
            known, changes = await self._changes()
        except CatalogDown as error:
            await self._fall_back()
            snapshot = self._slot.snapshot
            self._catalog_went(error, still_hiding_as_of=None if snapshot is None else snapshot.version)
            return
        self._catalog_came_back()
        if self._slot.snapshot is not known or changes.version != known.version:
            start = time.perf_counter()
            self._read = await asyncio.to_thread(self._apply, known, changes)
            log.info(
                "availability_loaded",
                version=self._read.version,
                num_changes=len(changes.items),
                num_restricted=len(self._read.restricted),
                load_s=round(time.perf_counter() - start, 3),
            )
        await self._remember()

    async def _changes(self) -> tuple[Snapshot, AvailabilityChanges]:
        """A known snapshot, and what changed after it."""
        changes = await self._ask(partial(self._source.availability_since, self._read.version))
        if changes.version >= self._read.version:
            return self._read, changes
        # A database made anew counts from 0 again.
        return EMPTY, await self._ask(partial(self._source.availability_since, 0))

    def _apply(self, known: Snapshot, changes: AvailabilityChanges) -> Snapshot:
        """In a thread, and for the models that answer, so that no request waits for it."""
        snapshot = known.after(changes)
        beside = [(slot, _windows(slot, known, snapshot, changes, model)) for slot, model in self._others()]
        self._count(known, snapshot, changes)
        for slot, windows in beside:
            slot.replace(snapshot, windows)
        return snapshot

    def _count(self, known: Snapshot, snapshot: Snapshot, changes: AvailabilityChanges) -> None:
        try:
            model = self._live_model()
        except ModelNotReady:
            self._slot.replace(snapshot, None)
            return
        self._slot.replace(snapshot, _windows(self._slot, known, snapshot, changes, model))

    async def _fall_back(self) -> None:
        """Without any snapshot: the last one that a worker of this host read, if there is one; answers say so."""
        if self._slot.snapshot is not None:
            return
        snapshot = await asyncio.to_thread(self._remembered.recall)
        if snapshot is not None:
            self._slot.replace(replace(snapshot, is_recalled=True), None)
            log.info("last_known_availability_loaded", version=snapshot.version)

    async def _remember(self) -> None:
        now = self._clock.now()
        if self._remembered_version == self._read.version or (self._due_time is not None and now < self._due_time):
            return
        start = time.perf_counter()
        try:
            await asyncio.to_thread(self._remembered.remember, self._read)
        except OSError as error:
            log.warning("availability_not_remembered", version=self._read.version, error=str(error))
        else:
            self._remembered_version = self._read.version
        took = timedelta(seconds=time.perf_counter() - start)
        self._due_time = now + max(REMEMBER_EVERY, took / REMEMBER_SHARE)


def _windows(
    slot: AvailabilitySlot, known: Snapshot, snapshot: Snapshot, changes: AvailabilityChanges, model: ServingModel
) -> Windows:
    """The snapshot's for a model; costs what the changes cost where the slot has those of the known one."""
    before = slot.windows
    if before is not None and before.are_of(known, model):
        return before.after(snapshot, changes, model)
    return Windows.of(snapshot, model)
