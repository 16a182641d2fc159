"""What a worker does as one of a fleet: says that it is alive and what it holds, and gets ready what is asked for.

This is the first phase of a swap; the second, the flip, is the follower's.
"""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime
from functools import partial

import structlog

from services.domain.errors import CatalogDown
from services.domain.fleet import GRACE, HEARTBEAT, Preparation, ServingWorker
from services.domain.ids import ModelVersion
from services.domain.ports import Clock, Fleet, ModelRegistry, Notices
from services.inference.catalog_follower import CatalogFollower
from services.inference.freed_memory import give_back
from services.inference.model_slot import ModelSlot
from services.inference.recorder import Recorder

log = structlog.get_logger(__name__)


@dataclass(frozen=True, slots=True)
class Identity:
    """Who a worker is."""

    worker_id: str
    replica: str
    pid: int


class FleetMember(CatalogFollower):
    """Follows the open preparation. A load that fails is said once, and not tried again for the same preparation.

    forget_old: called at every poll, to let go of what is too old.
    """

    def __init__(
        self,
        identity: Identity,
        slot: ModelSlot,
        registry: ModelRegistry,
        fleet: Fleet,
        notices: Notices,
        clock: Clock,
        recorder: Recorder,
        forget_old: Sequence[Callable[[], None]] = (),
    ) -> None:
        super().__init__(notices)
        self._identity = identity
        self._slot = slot
        self._registry = registry
        self._fleet = fleet
        self._clock = clock
        self._forget_old = forget_old
        self._recorder = recorder
        self._answered: Preparation | None = None
        self._problem = ""
        self._preparing: asyncio.Task[None] | None = None
        self._reported: ServingWorker | None = None
        self._held = set[ModelVersion]()

    async def catch_up(self) -> None:
        """Reports what is new or due, and begins to prepare what it is asked for; lets go of what is held too long."""
        for forget_old in self._forget_old:
            forget_old()
        self._slot.let_go()
        held = set(self._slot.held)
        gone, self._held = self._held - held, held
        if gone:
            await asyncio.to_thread(give_back)
        try:
            preparation = await self._ask(self._fleet.preparation)
            await self._report()
        except CatalogDown as error:
            self._catalog_went(error)
            return
        self._catalog_came_back()
        is_busy = self._preparing is not None and not self._preparing.done()
        if preparation is not None and preparation != self._answered and not is_busy:
            self._preparing = asyncio.create_task(self._prepare(preparation))

    async def leave(self) -> None:
        """Says good-bye, so that no swap waits for this worker."""
        try:
            await self._ask(partial(self._fleet.leave, self._identity.worker_id))
        except CatalogDown:
            log.info("left_without_a_word", why="the database is down; the row is forgotten in some minutes")

    async def _prepare(self, preparation: Preparation) -> None:
        start = time.perf_counter()
        try:
            registered = await self._ask(partial(self._registry.get, preparation.version))
            await self._slot.hold(registered, preparation.deadline + GRACE)
        except CatalogDown:
            return  # no answer yet: the next poll tries again
        except Exception as error:  # noqa: BLE001 - whatever is wrong with it, the present model serves on
            self._problem = f"{type(error).__name__}: {error}"
            log.error("model_not_prepared", version=preparation.version, error=self._problem)
        else:
            self._problem = ""
            load_s = round(time.perf_counter() - start, 3)
            log.info("model_prepared", version=preparation.version, preparation=preparation.number, load_s=load_s)
        self._recorder.model_preparation(succeeded=not self._problem)
        self._answered = preparation
        try:
            await self._report()
        except CatalogDown:
            log.info("answer_delayed", preparation=preparation.number, why="the database is down")

    async def _report(self) -> None:
        """Writes the row when it says something new, or when the last word is old; raises CatalogDown."""
        now = self._clock.now()
        row = self._row(now)
        last = self._reported
        is_old = last is None or abs(now - last.alive_time) >= HEARTBEAT  # a clock may be set back
        if last is None or is_old or row != replace(last, alive_time=now, vitals=row.vitals):
            await self._ask(partial(self._fleet.report, row))
            self._reported = row

    def _row(self, now: datetime) -> ServingWorker:
        identity = self._identity
        return ServingWorker(
            worker_id=identity.worker_id,
            replica=identity.replica,
            pid=identity.pid,
            alive_time=now,
            generation=self._slot.generation,
            held=self._slot.held,
            answered=0 if self._answered is None else self._answered.number,
            problem=self._problem,
            vitals=self._recorder.vitals.now,
        )
