"""ItemCounters for serving: says what a test says."""

import asyncio
from collections.abc import Collection, Sequence

from services.domain.counters import CounterKind
from services.domain.errors import FeatureStoreDown
from services.domain.ids import ItemId


class FakeItemCounters:
    """Says what the test says, once it may; `asked`: what for."""

    def __init__(self) -> None:
        self.said: list[tuple[ItemId, float]] = []
        self.asked: list[tuple[CounterKind, str | None]] = []
        self.is_down = False
        self.was_asked, self.may_answer = asyncio.Event(), asyncio.Event()
        self.may_answer.set()

    async def top(
        self,
        kind: CounterKind,
        num_items: int,
        now_us: int,
        *,
        surface: str | None = None,
        among: Collection[ItemId] | None = None,
    ) -> Sequence[tuple[ItemId, float]]:
        self.asked.append((kind, surface))
        self.was_asked.set()
        await self.may_answer.wait()
        if self.is_down:
            raise FeatureStoreDown("The store is down; the test said so.")
        return self.said[:num_items]
