"""What is popular with all users now: read from the counters every few seconds, and shared by all who ask meanwhile."""

import asyncio
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from itertools import repeat
from typing import Final

from services.domain.counters import CounterKind
from services.domain.errors import FeatureStoreDown
from services.domain.ids import ItemId
from services.domain.ports import Clock, ItemCounters
from services.domain.recommendations import Degraded, PopularList, PopularQuery, ScoredItem, Source
from services.domain.wishes import EVERYTHING, Filter
from services.inference.availability import AvailabilitySlot, Snapshot
from services.inference.excluded import Excluded
from services.inference.facts import FactsSlot
from services.inference.filters import allowed, check_filter, flagged
from services.inference.serving_model import ServingModel

READ_EVERY: Final = timedelta(seconds=5)  # larger: an event is seen later; smaller: Redis is asked more
DEPTH: Final = 2_000  # larger: more to read; smaller: long lists, and those with many exclusions, come back short
KEPT: Final = 64  # surfaces times kinds. Larger: memory that callers choose; smaller: many surfaces are read each time

_Asked = tuple[CounterKind, str | None]


@dataclass(frozen=True, slots=True)
class _Read:
    """What the counters said; until when it counts."""

    best: "asyncio.Task[Sequence[tuple[ItemId, float]]]"
    until_time: datetime


class PopularNow:
    """Answers from the counters, with nothing that may not be shown. It needs a model only while they are away."""

    def __init__(
        self,
        counters: ItemCounters,
        live_model: Callable[[], ServingModel],
        availability: AvailabilitySlot,
        clock: Clock,
        facts: FactsSlot | None = None,
    ) -> None:
        self._facts = facts or FactsSlot()
        self._counters = counters
        self._live_model = live_model
        self._availability = availability
        self._clock = clock
        self._reads = OrderedDict[_Asked, _Read]()

    async def best(self, query: PopularQuery) -> PopularList:
        """Raises ModelNotReady where the counters are away and there is no model either."""
        try:
            ranked = await asyncio.shield(self._read((query.kind, query.surface)))
        except FeatureStoreDown:
            return self._of_model(query)
        snapshot, now_us = self._availability.snapshot, self._now_us()
        are_wanted, is_known = self._are_wanted(query.filter, [item_id for item_id, _ in ranked])
        shown = (
            ScoredItem(item_id, score)
            for (item_id, score), is_wanted in zip(ranked, are_wanted, strict=False)
            if is_wanted and item_id not in query.excluded and _may_be_shown(snapshot, item_id, now_us)
        )
        items = tuple(each for each, _ in zip(shown, range(query.k), strict=False))
        is_known = is_known and snapshot is not None and not snapshot.is_recalled
        return PopularList(items, Source.COUNTERS, Degraded.NONE if is_known else Degraded.CATALOG_DOWN)

    async def on_surface(self, surface: str) -> Sequence[tuple[ItemId, float]]:
        """What is popular there with all users, best first, whatever may be shown. Raises FeatureStoreDown."""
        return await asyncio.shield(self._read((CounterKind.POPULAR, surface)))

    def _read(self, asked: _Asked) -> "asyncio.Task[Sequence[tuple[ItemId, float]]]":
        """One reading for all who ask within READ_EVERY; one that failed counts for nobody who comes later."""
        now, last = self._clock.now(), self._reads.get(asked)
        if last is not None and now < last.until_time and not _has_failed(last.best):
            return last.best
        kind, surface = asked
        task = asyncio.create_task(self._top(kind, surface))
        task.add_done_callback(_has_failed)  # whoever waited has the error, or went away
        self._reads[asked] = _Read(task, now + READ_EVERY)
        self._reads.move_to_end(asked)
        if len(self._reads) > KEPT:
            self._reads.popitem(last=False)
        return task

    async def _top(self, kind: CounterKind, surface: str | None) -> Sequence[tuple[ItemId, float]]:
        return await self._counters.top(kind, DEPTH, self._now_us(), surface=surface)

    def _of_model(self, query: PopularQuery) -> PopularList:
        model = self._live_model()
        facts = self._facts.of(model)
        check_filter(query.filter, facts)
        flags = flagged(query.filter, facts, self._availability.of(model))
        excluded = Excluded.of(model.known_rows(query.excluded), *flags)
        rows, scores = model.index.popular(query.k, excluded)
        return PopularList(model.scored_items(rows, scores), Source.POPULAR, Degraded.FEATURE_STORE_DOWN)

    def _are_wanted(self, wanted: Filter, item_ids: Sequence[ItemId]) -> tuple[Iterable[bool], bool]:
        """Which of the items the filter lets through, and whether the catalog has said what it asks."""
        if wanted == EVERYTHING:
            return repeat(True), True
        known = self._facts.known.of_items(item_ids)
        check_filter(wanted, known)
        return allowed(wanted, known).tolist(), known.is_known

    def _now_us(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)


def _has_failed(task: "asyncio.Task[Sequence[tuple[ItemId, float]]]") -> bool:
    return task.done() and (task.cancelled() or task.exception() is not None)


def _may_be_shown(snapshot: Snapshot | None, item_id: ItemId, now_us: int) -> bool:
    restricted = None if snapshot is None else snapshot.restricted.get(item_id)
    return restricted is None or restricted.allows(now_us)
