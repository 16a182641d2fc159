"""A shop with a catalog, over fakes, that answers requests with wishes: sixty items of which much is known."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np

from services.domain.ids import ItemId, UserId
from services.domain.items import Availability, Facts, Price
from services.domain.recommendations import Query, Recommendation
from services.inference.availability import AvailabilitySlot, Snapshot
from services.inference.background import BackgroundTasks
from services.inference.facts import CatalogFacts, FactsSlot
from services.inference.popular import PopularNow
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.serving_model import load_serving_model
from tests.fakes.clock import FakeClock
from tests.fakes.history_reader import FakeHistoryReader
from tests.fakes.item_counters import FakeItemCounters
from tests.fakes.result_cache import FakeResultCache
from tests.fakes.tiny_bundle import item_vectors, write_bundle

ANN = UserId("ann")
NUM_ITEMS = 60
CATEGORIES = ("art", "books", "cars", "dogs", "eggs")
BRANDS = ("acme", "best", "")
HIDDEN = (3, 17, 44)


def item_id(row: int) -> ItemId:
    return ItemId(f"item-{row}")


def facts_of(seed: int = 7) -> dict[ItemId, Facts]:
    """Of each item: up to three categories, mostly a brand, and mostly a price in one of two currencies."""
    rng = np.random.default_rng(seed)
    made = dict[ItemId, Facts]()
    for row in range(1, NUM_ITEMS + 1):
        categories = tuple(str(each) for each in rng.permutation(CATEGORIES)[: rng.integers(0, 4)])
        brand = str(rng.choice(BRANDS))
        price = Price(
            "EUR" if rng.random() < 0.8 else "USD", int(rng.integers(1, 20)), int(rng.integers(0, 2)) * 500_000_000
        )
        attributes = {"brand": brand, "size": str(rng.integers(1, 4))} if rng.random() < 0.9 else {}
        made[item_id(row)] = Facts(categories, attributes, ("new",) if row % 7 == 0 else (), price if row % 9 else None)
    return made


class WishedShop:
    """One model of a kind, a user, and everything around them in reach of the test."""

    def __init__(self, folder: Path, kind: str = "sequence", num_items: int = NUM_ITEMS) -> None:
        write_bundle(folder, "v1", vectors=item_vectors(5, num_items), kind=kind)
        self.model = load_serving_model(folder)
        self.clock, self.cache, self.counters = FakeClock(), FakeResultCache(), FakeItemCounters()
        self.histories, self.background = FakeHistoryReader(self.cache), BackgroundTasks(limit=64)
        self.availability, self.facts, self.known = AvailabilitySlot(self.clock), FactsSlot(), facts_of()
        self.hide(HIDDEN)
        self.tell(self.known)
        popular = PopularNow(self.counters, lambda: self.model, self.availability, self.clock, self.facts)
        self.recommender = Recommender(
            lambda: self.model, self.availability, self.histories, self.cache, self.background, Recorder(),
            facts=self.facts, popular=popular,
        )  # fmt: skip
        self.popular = popular

    def hide(self, rows: Sequence[int]) -> None:
        self.availability.replace(Snapshot(1, {item_id(row): Availability(hidden=True) for row in rows}), None)

    def tell(self, facts: Mapping[ItemId, Facts]) -> None:
        """What the catalog says of the items from here on."""
        self.known = dict(facts)
        self.facts.replace(CatalogFacts.empty().after(1, facts), ())

    async def ask(self, query: Query) -> Recommendation:
        """With what goes on after the reply."""
        answer = await self.recommender.recommend(query)
        await self.background.drain(timeout_s=5)
        return answer

    async def ranked(self, query: Query) -> dict[ItemId, float]:
        """The model's scores of all items that are available, the best first: what lists are held against."""
        ranking = await self.recommender.rank(query, [item_id(row) for row in range(1, self.model.index.num_items + 1)])
        found = sorted((each for each in ranking.items if each.rank is not None), key=lambda each: each.rank or 0)
        return {each.item_id: each.score or 0.0 for each in found}


def ids(answer: Recommendation) -> list[ItemId]:
    return [each.item_id for each in answer.items]
