"""What is trending, of items and of categories, joined with the catalog as it is now."""

import pytest

from services.adapters.redis_store import CounterLimits
from services.domain.counters import CounterBatch, CounterKind, CounterRules, Shard
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.items import Item
from services.features import trending
from services.features.trending import Window, top_categories, top_items
from tests.fakes.clock import START, FakeClock
from tests.fakes.counters import FakeCounters
from tests.fakes.item_catalog import FakeItemCatalog

NOW_US = int(START.timestamp() * 1e6)
WINDOW = Window(CounterKind.TRENDING, NOW_US)


@pytest.fixture
def counters() -> FakeCounters:
    """Item n was viewed 10 - n times, the even ones at home."""
    counters = FakeCounters(
        CounterRules(DEFAULT_EVENT_TYPES, 3_600), CounterLimits(1_000, 4, 10_000, 60), FakeClock(START)
    )
    viewed = [number for number in range(10) for _ in range(10 - number)]
    events = [
        Interaction(
            EventId(f"e{offset}"), UserId("ada"), ItemId(f"i{n}"), "view", NOW_US, surface="" if n % 2 else "home"
        )
        for offset, n in enumerate(viewed)
    ]
    counters.apply([CounterBatch(Shard("events/0"), 0, len(events), list(enumerate(events)))])
    return counters


@pytest.fixture
def catalog() -> FakeItemCatalog:
    """Every third item is noir, the last five are new, and item 0 is unknown."""
    catalog = FakeItemCatalog()
    catalog.upsert(
        [
            Item(ItemId(f"i{n}"), categories=(*(["noir"] if n % 3 == 0 else []), *(["new"] if n >= 5 else [])))
            for n in range(1, 10)
        ]
    )
    return catalog


async def test_items_are_ranked_on_a_surface_or_on_all(counters: FakeCounters, catalog: FakeItemCatalog) -> None:
    assert [item for item, _ in await top_items(counters, catalog, WINDOW, 3)] == ["i0", "i1", "i2"]
    at_home = Window(CounterKind.TRENDING, NOW_US, "home")
    assert [item for item, _ in await top_items(counters, catalog, at_home, 3)] == ["i0", "i2", "i4"]


async def test_a_category_is_filled_however_deep_its_items_lie(
    counters: FakeCounters, catalog: FakeItemCatalog, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(trending, "_FIRST_DEPTH", 2)
    found = await top_items(counters, catalog, WINDOW, 2, "noir")
    assert dict(found) == pytest.approx({"i3": 7.0, "i6": 4.0})
    assert [item for item, _ in await top_items(counters, catalog, WINDOW, 9, "new")] == ["i5", "i6", "i7", "i8", "i9"]
    assert await top_items(counters, catalog, WINDOW, 9, "western") == []


async def test_an_item_counts_in_each_of_its_categories(counters: FakeCounters, catalog: FakeItemCatalog) -> None:
    ranked = await top_categories(counters, catalog, WINDOW, 5)
    assert dict(ranked) == pytest.approx({"new": 5 + 4 + 3 + 2 + 1, "noir": 7 + 4 + 1})
    assert [name for name, _ in await top_categories(counters, catalog, WINDOW, 1)] == ["new"]
