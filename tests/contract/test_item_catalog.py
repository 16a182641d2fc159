"""What every ItemCatalog promises."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.migrate import upgrade
from services.domain.errors import CatalogDown
from services.domain.ids import ItemId
from services.domain.items import Item
from services.domain.ports import ItemCatalog
from tests.fakes.item_catalog import FakeItemCatalog

HEAT = Item(ItemId("heat"), "Heat", ("Crime", "Drama"), {"year": "1995"}, 1_000_000)


def _sql(url: str) -> SqlItemCatalog:
    upgrade(url)
    return SqlItemCatalog(connect(url))


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def catalog(request: pytest.FixtureRequest, tmp_path: Path) -> ItemCatalog:
    makers: dict[str, Callable[[], ItemCatalog]] = {
        "fake": FakeItemCatalog,
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'home' / 'catalog.db'}"),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url")),
    }
    return makers[request.param]()


def test_an_item_comes_back_as_it_was_stored(catalog: ItemCatalog) -> None:
    odd = Item(ItemId("日本/☕ 'quoted\" %s"), "Amélie 🎬", (), {"": "", "ключ": "значение"}, 2**53 + 1)
    catalog.upsert([HEAT, odd])
    assert catalog.get([HEAT.item_id, odd.item_id]) == {HEAT.item_id: HEAT, odd.item_id: odd}


def test_unknown_items_are_left_out(catalog: ItemCatalog) -> None:
    catalog.upsert([HEAT])
    assert catalog.get([ItemId("nowhere"), HEAT.item_id]) == {HEAT.item_id: HEAT}
    assert catalog.get([]) == {}


def test_the_newest_update_time_wins_whatever_the_order(catalog: ItemCatalog) -> None:
    newer = replace(HEAT, title="Heat (restored)", update_time_us=HEAT.update_time_us + 1)
    catalog.upsert([newer])
    catalog.upsert([HEAT])
    assert catalog.get([HEAT.item_id])[HEAT.item_id] == newer


def test_the_newest_wins_within_one_batch_too(catalog: ItemCatalog) -> None:
    newer = replace(HEAT, title="Heat (restored)", update_time_us=HEAT.update_time_us + 1)
    catalog.upsert([HEAT, newer, HEAT])
    assert catalog.get([HEAT.item_id])[HEAT.item_id] == newer


def test_of_equal_update_times_the_later_call_wins(catalog: ItemCatalog) -> None:
    corrected = replace(HEAT, title="Heat.", categories=())
    catalog.upsert([HEAT])
    catalog.upsert([corrected])
    assert catalog.get([HEAT.item_id])[HEAT.item_id] == corrected


def test_large_batches_pass_and_are_counted_once(catalog: ItemCatalog) -> None:
    items = [Item(ItemId(f"item-{number}"), f"Title {number}", update_time_us=number) for number in range(2_500)]
    catalog.upsert(items)
    catalog.upsert(items)
    assert catalog.count() == 2_500
    assert len(catalog.get([item.item_id for item in items])) == 2_500


def test_an_empty_batch_changes_nothing(catalog: ItemCatalog) -> None:
    catalog.upsert([])
    assert catalog.count() == 0


def test_a_title_that_the_database_cannot_hold_does_not_stop_the_writer(catalog: ItemCatalog) -> None:
    catalog.upsert([replace(HEAT, title="He\0at")])
    title = catalog.get([HEAT.item_id])[HEAT.item_id].title
    assert (title[:2], title[-2:]) == ("He", "at")


@pytest.mark.parametrize("url", ["postgresql+psycopg://nobody:secret@127.0.0.1:9/none", "sqlite:////dev/null/x.db"])
def test_a_database_that_is_gone_is_catalog_down_without_its_password(url: str) -> None:
    with pytest.raises(CatalogDown) as caught:
        SqlItemCatalog(connect(url)).count()
    assert "secret" not in str(caught.value)
    assert caught.value.retryable
