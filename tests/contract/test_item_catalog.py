"""What every ItemCatalog promises, and what serving reads of it (AvailabilitySource, FactsSource)."""

import threading
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.migrate import upgrade
from services.domain.errors import CatalogDown
from services.domain.ids import ItemId
from services.domain.items import ALWAYS, NO_FACTS, Availability, AvailabilityChanges, Facts, FactsMark, Item, Price
from tests.fakes.item_catalog import FakeItemCatalog

Catalog = FakeItemCatalog | SqlItemCatalog
HIDDEN = Availability(hidden=True)
HEAT = Item(ItemId("heat"), "Heat", ("Crime", "Drama"), {"year": "1995"}, 1_000_000)


def _sql(url: str) -> SqlItemCatalog:
    upgrade(url)
    return SqlItemCatalog(connect(url))


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> Catalog:
    makers: dict[str, Callable[[], Catalog]] = {
        "fake": FakeItemCatalog,
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}"),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url")),
    }
    return makers[request.param]()


def test_an_item_comes_back_as_it_was_stored(catalog: Catalog) -> None:
    odd = Item(ItemId("日本/☕ 'quoted\" %s"), "Amélie 🎬", (), {"": "", "ключ": "значение"}, 2**53 + 1)
    catalog.upsert([HEAT, odd])
    assert catalog.get([HEAT.item_id, odd.item_id]) == {HEAT.item_id: HEAT, odd.item_id: odd}


def test_each_item_comes_once_however_many_pages_they_fill(catalog: Catalog, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.adapters.sql.item_catalog.PAGE_ROWS", 3)
    for number in (0, 3, 7):
        items = [Item(ItemId(f"{place:02d}"), f"title {place}") for place in range(number)]
        catalog.upsert(items)
        assert sorted(catalog.each(), key=lambda item: item.item_id) == items


def test_all_that_the_contract_says_of_an_item_comes_back(catalog: Catalog) -> None:
    full = replace(
        HEAT,
        description="A thief and a detective.",
        tags=("heist", "Los Angeles"),
        price=Price("EUR", 2**62, 999_999_999),
        availability=Availability(hidden=True, from_us=1, until_us=2**53 + 1),
        embedding=(0.5, -1.0, float(np.float32(0.1))),
    )
    catalog.upsert([full])
    assert catalog.get([HEAT.item_id]) == {HEAT.item_id: full}


def test_a_state_replaces_the_whole_of_the_one_before(catalog: Catalog) -> None:
    priced = replace(HEAT, price=Price("EUR", 12), embedding=(1.0,), tags=("heist",), availability=HIDDEN)
    catalog.upsert([priced])
    catalog.upsert([HEAT])
    assert catalog.get([HEAT.item_id]) == {HEAT.item_id: HEAT}


def test_unknown_items_are_left_out(catalog: Catalog) -> None:
    catalog.upsert([HEAT])
    assert catalog.get([ItemId("nowhere"), HEAT.item_id]) == {HEAT.item_id: HEAT}
    assert catalog.get([]) == {}


def test_the_newest_update_time_wins_whatever_the_order(catalog: Catalog) -> None:
    newer = replace(HEAT, title="Heat (restored)", update_time_us=HEAT.update_time_us + 1)
    catalog.upsert([newer])
    catalog.upsert([HEAT])
    assert catalog.get([HEAT.item_id])[HEAT.item_id] == newer


def test_the_newest_wins_within_one_batch_too(catalog: Catalog) -> None:
    newer = replace(HEAT, title="Heat (restored)", update_time_us=HEAT.update_time_us + 1)
    catalog.upsert([HEAT, newer, HEAT])
    assert catalog.get([HEAT.item_id])[HEAT.item_id] == newer


def test_of_equal_update_times_the_later_call_wins(catalog: Catalog) -> None:
    corrected = replace(HEAT, title="Heat.", categories=())
    catalog.upsert([HEAT])
    catalog.upsert([corrected])
    assert catalog.get([HEAT.item_id])[HEAT.item_id] == corrected


def test_large_batches_pass_and_are_counted_once(catalog: Catalog) -> None:
    items = [Item(ItemId(f"item-{number}"), f"Title {number}", update_time_us=number) for number in range(2_500)]
    catalog.upsert(items)
    catalog.upsert(items)
    assert catalog.count() == 2_500
    assert len(catalog.get([item.item_id for item in items])) == 2_500


def test_an_empty_batch_changes_nothing(catalog: Catalog) -> None:
    catalog.upsert([])
    assert catalog.count() == 0


def test_a_title_that_the_database_cannot_hold_does_not_stop_the_writer(catalog: Catalog) -> None:
    catalog.upsert([replace(HEAT, title="He\0at")])
    title = catalog.get([HEAT.item_id])[HEAT.item_id].title
    assert (title[:2], title[-2:]) == ("He", "at")


def later(item: Item, availability: Availability) -> Item:
    return replace(item, availability=availability, update_time_us=item.update_time_us + 1)


def test_the_version_counts_changes_of_availability_only(catalog: Catalog) -> None:
    """Serving is told of nothing else, so a nightly reload of all titles costs it nothing."""
    assert catalog.upsert([HEAT]) is None
    hidden = later(HEAT, HIDDEN)
    assert catalog.upsert([hidden]) == 1
    assert catalog.upsert([replace(hidden, title="Heat.")]) is None
    assert catalog.upsert([later(hidden, Availability(hidden=True, from_us=5))]) == 2
    assert catalog.availability_since(0).version == 2


def test_what_changed_after_a_version_is_told_as_it_is_now(catalog: Catalog) -> None:
    alien, brazil = Item(ItemId("alien"), availability=HIDDEN), Item(ItemId("brazil"), availability=HIDDEN)
    window = Availability(from_us=1, until_us=2)
    assert catalog.availability_since(0) == AvailabilityChanges(0, {})
    assert catalog.upsert([HEAT, alien, brazil]) == 1
    assert catalog.upsert([later(alien, ALWAYS), later(HEAT, window)]) == 2
    assert catalog.availability_since(1) == AvailabilityChanges(2, {alien.item_id: ALWAYS, HEAT.item_id: window})
    assert catalog.availability_since(2) == AvailabilityChanges(2, {})
    assert catalog.availability_since(0).items[brazil.item_id] == HIDDEN


def test_an_older_state_hides_nothing(catalog: Catalog) -> None:
    catalog.upsert([HEAT])
    assert catalog.upsert([replace(HEAT, availability=HIDDEN, update_time_us=HEAT.update_time_us - 1)]) is None
    assert catalog.availability_since(0) == AvailabilityChanges(0, {})


def test_writers_at_once_lose_no_change_and_no_count(catalog: Catalog) -> None:
    """A version that two changes shared could be read between them, and the second would never be told."""
    start, versions = threading.Barrier(4), list[int | None]()

    def write(name: str) -> None:
        start.wait()
        for number in range(5):
            versions.append(catalog.upsert([Item(ItemId(f"{name}-{number}"), availability=HIDDEN)]))

    threads = [threading.Thread(target=write, args=(name,)) for name in "abcd"]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(filter(None, versions)) == list(range(1, 21))
    assert len(catalog.availability_since(0).items) == 20
    assert len(catalog.availability_since(15).items) == 5


START = FactsMark()


def told(item: Item, **fields: Any) -> Item:
    """The item a moment later, with other fields."""
    return replace(item, update_time_us=item.update_time_us + 1, **fields)


def test_the_facts_of_an_item_are_told_as_they_were_stored(catalog: Catalog) -> None:
    full = replace(HEAT, tags=("heist",), price=Price("EUR", 2**62, 999_999_999))
    assert catalog.facts_since(START, 10).items == {}
    catalog.upsert([full, Item(ItemId("plain"), "An item of which nothing is known")])
    page = catalog.facts_since(START, 10)
    expected = Facts(("Crime", "Drama"), {"year": "1995"}, ("heist",), Price("EUR", 2**62, 999_999_999))
    assert (page.items, page.version, page.is_last) == ({HEAT.item_id: expected}, 1, True)


@pytest.mark.parametrize(
    "fields",
    [
        {"categories": ("Crime",)},
        {"categories": ("Drama", "Crime")},
        {"attributes": {"year": "1996"}},
        {"tags": ("heist",)},
        {"price": Price("EUR", 1)},
        {"price": Price("EUR", 0, 1)},
    ],
    ids=str,
)
def test_each_change_of_facts_is_told_once(catalog: Catalog, fields: dict[str, Any]) -> None:
    catalog.upsert([HEAT])
    mark = catalog.facts_since(START, 10).mark
    catalog.upsert([told(HEAT, **fields)])
    page = catalog.facts_since(mark, 10)
    assert (page.items, page.version) == ({HEAT.item_id: Facts.of(replace(HEAT, **fields))}, 2)
    assert catalog.facts_since(page.mark, 10).items == {}


def test_what_is_no_fact_is_not_told(catalog: Catalog) -> None:
    """A nightly reload of the whole catalog, in whichever order its attributes come, costs serving nothing."""
    known = replace(HEAT, attributes={"a": "1", "b": "2"}, price=Price("EUR", 5))
    catalog.upsert([known])
    mark = catalog.facts_since(START, 10).mark
    catalog.upsert([told(known, title="Heat.", attributes={"b": "2", "a": "1"}, availability=HIDDEN, embedding=(1.0,))])
    catalog.upsert([replace(known, update_time_us=0, categories=())])
    page = catalog.facts_since(mark, 10)
    assert (page.items, page.version, page.is_last) == ({}, 1, True)


def test_facts_that_are_gone_are_told(catalog: Catalog) -> None:
    catalog.upsert([HEAT])
    mark = catalog.facts_since(START, 10).mark
    catalog.upsert([told(HEAT, categories=(), attributes={})])
    assert catalog.facts_since(mark, 10).items == {HEAT.item_id: NO_FACTS}


def test_pages_of_facts_tell_of_every_item_once_also_when_some_change_meanwhile(catalog: Catalog) -> None:
    items = [Item(ItemId(f"{number:02d}"), categories=("a",)) for number in range(10)]
    catalog.upsert(items[5:])
    catalog.upsert(items[:5])
    heard, mark, is_last = list[str](), START, False
    while not is_last:
        page = catalog.facts_since(mark, 3)
        heard += page.items
        if len(heard) == 3:
            catalog.upsert([told(items[5], categories=("b",)), told(items[9], categories=("b",))])
        mark, is_last = page.mark, page.is_last
    assert heard == ["05", "06", "07", "08", "00", "01", "02", "03", "04", "05", "09"]
    assert catalog.facts_since(mark, 3).items == {}


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody:secret@127.0.0.1:9/none", "sqlite:////dev/null/x.db"])
def test_a_database_that_is_gone_is_catalog_down_without_its_password(url: str) -> None:
    with pytest.raises(CatalogDown) as caught:
        SqlItemCatalog(connect(url)).count()
    assert "secret" not in str(caught.value)
    assert caught.value.retryable
