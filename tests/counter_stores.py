"""The counters under test, real and fake, and what the tests put into them."""

import uuid
from collections.abc import Sequence
from typing import Any, Protocol

from services.adapters.redis_store import CounterLimits, RedisCounterWriter, RedisItemCounters, RedisStore
from services.domain.clock import SystemClock
from services.domain.counters import CounterBatch, CounterKind, CounterRules, Shard
from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.ports import CounterRebuilder, CounterWriter, ItemCounters
from tests.fakes.counters import FakeCounters

HOUR_S, DAY_S = 3_600.0, 86_400.0
TYPES = EventTypes(
    [
        EventType("impression", Role.IMPRESSION),
        EventType("view", Role.POSITIVE, 1.0, half_life_s=DAY_S),
        EventType("rating", Role.POSITIVE, 3.0, half_life_s=5 * DAY_S, positive_from=4, negative_to=2),
    ]
)
RULES = CounterRules(TYPES, trending_half_life_s=HOUR_S)
LIMITS = CounterLimits(max_items=6, max_surfaces=2, dedupe_offsets=1_000, ttl_s=3_600)
CLOCK = SystemClock()
NOW_US = int(CLOCK.now().timestamp() * 1_000_000)


class Store(Protocol):
    @property
    def writer(self) -> CounterWriter: ...

    @property
    def rebuilder(self) -> CounterRebuilder: ...

    @property
    def reader(self) -> ItemCounters: ...

    def another_rebuilder(self) -> CounterRebuilder: ...


class RealStore:
    def __init__(self, url: str) -> None:
        self._url = url
        self.writer = RedisCounterWriter(url, RULES, LIMITS, CLOCK)
        self.rebuilder = self.another_rebuilder()
        self.reader = RedisItemCounters(RedisStore(url, timeout_s=5))

    def another_rebuilder(self) -> RedisCounterWriter:
        return RedisCounterWriter(self._url, RULES, LIMITS, CLOCK, staged=True)


class FakeStore:
    def __init__(self) -> None:
        self.writer = self.reader = FakeCounters(RULES, LIMITS, CLOCK)
        self.rebuilder = self.another_rebuilder()

    def another_rebuilder(self) -> FakeCounters:
        return self.writer.staged()


def new_shard() -> Shard:
    return Shard(f"events-{uuid.uuid4().hex}/0")


def event(name: str, item: str = "book", kind: str = "view", age_s: float = 0, **fields: Any) -> Interaction:
    time_us = NOW_US - int(age_s * 1e6)
    return Interaction(EventId(name), UserId("ada"), ItemId(item), kind, time_us, **fields)


def batch(shard: Shard, events: Sequence[Interaction], start: int = 0) -> CounterBatch:
    return CounterBatch(shard, start, start + len(events), list(enumerate(events, start)))


async def top(store: Store, kind: CounterKind = CounterKind.POPULAR, **options: Any) -> dict[str, float]:
    return dict(await store.reader.top(kind, 10, NOW_US, **options))
