import pytest
from structlog.testing import capture_logs

from services.domain.errors import CatalogDown
from services.domain.ids import ItemId
from services.domain.items import FactsMark, FactsPage, Item
from services.inference.facts import FactsSlot
from services.inference.facts_follower import FactsFollower
from services.inference.facts_table import CATEGORY, Word
from services.inference.serving_model import ServingModel
from tests.fakes.item_catalog import FakeItemCatalog


class Bench:
    def __init__(self, model: ServingModel) -> None:
        self.catalog, self.slot, self.model = FakeItemCatalog(), FactsSlot(), model
        self.follower = FactsFollower(self.slot, self.catalog, lambda: [self.model])

    def say(self, item_id: str, *categories: str, second: int = 1) -> None:
        self.catalog.upsert([Item(ItemId(item_id), categories=categories, update_time_us=second)])

    def of(self, category: str) -> list[int]:
        return list(self.slot.of(self.model).rows_of(Word(CATEGORY, category)))


class GoesAwayOnce:
    """A source that is down when it is asked for the second time."""

    def __init__(self, catalog: FakeItemCatalog) -> None:
        self._catalog = catalog
        self.num_asked = 0

    def facts_since(self, mark: FactsMark, limit: int) -> FactsPage:
        self.num_asked += 1
        if self.num_asked == 2:
            raise CatalogDown("The database is down; the test said so.")
        return self._catalog.facts_since(mark, limit)


async def test_each_change_counts_from_the_next_request_on(model: ServingModel) -> None:
    bench = Bench(model)
    bench.say("item-1", "x")
    await bench.follower.catch_up()
    assert bench.of("x") == [1]
    bench.say("item-1", "y", second=2)
    bench.say("item-3", "x")
    await bench.follower.catch_up()
    assert (bench.of("x"), bench.of("y")) == ([3], [1])


async def test_an_empty_catalog_is_known_to_say_nothing(model: ServingModel) -> None:
    bench = Bench(model)
    await bench.follower.catch_up()
    assert bench.slot.of(model).is_known


async def test_a_look_that_finds_nothing_new_changes_nothing(model: ServingModel) -> None:
    bench = Bench(model)
    bench.say("item-1", "x")
    await bench.follower.catch_up()
    before = bench.slot.of(model)
    with capture_logs() as lines:
        await bench.follower.catch_up()
    assert bench.slot.of(model) is before
    assert lines == []


async def test_what_is_known_counts_while_the_database_is_away(model: ServingModel) -> None:
    """Law 6; and it is said once."""
    bench = Bench(model)
    bench.say("item-1", "x")
    await bench.follower.catch_up()
    bench.catalog.is_down = True
    with capture_logs() as lines:
        await bench.follower.catch_up()
        await bench.follower.catch_up()
    assert bench.of("x") == [1]
    assert [(line["event"], line["facts_as_of"]) for line in lines] == [("catalog_down", 1)]
    bench.catalog.is_down = False
    bench.say("item-2", "x")
    await bench.follower.catch_up()
    assert bench.of("x") == [1, 2]


async def test_many_pages_count_all_at_once(model: ServingModel, monkeypatch: pytest.MonkeyPatch) -> None:
    """Half of the facts would be a filter that leaves out what it must not; a database that goes away loses no page."""
    bench = Bench(model)
    monkeypatch.setattr("services.inference.facts_follower.PAGE_ITEMS", 2)
    for number in range(1, 6):
        bench.say(f"item-{number}", "x")
    source = GoesAwayOnce(bench.catalog)
    bench.follower = FactsFollower(bench.slot, source, lambda: [model])
    await bench.follower.catch_up()
    assert not bench.slot.of(model).is_known
    await bench.follower.catch_up()
    assert bench.of("x") == [1, 2, 3, 4, 5]
    assert source.num_asked == 4, "1 page of 2, 1 failure, then 2 and 1"


async def test_a_database_made_anew_is_read_from_the_start(model: ServingModel) -> None:
    bench = Bench(model)
    for number in range(1, 4):
        bench.say(f"item-{number}", "x")
    await bench.follower.catch_up()
    bench.catalog.__init__()  # type: ignore[misc]
    bench.say("item-5", "x")
    await bench.follower.catch_up()
    assert bench.of("x") == [5]


async def test_a_model_that_comes_later_finds_its_facts_worked_out(
    model: ServingModel, other_model: ServingModel
) -> None:
    bench = Bench(model)
    bench.catalog.upsert([Item(ItemId("item-1"), categories=("x",))])
    await bench.follower.catch_up()
    bench.model = other_model
    await bench.follower.catch_up()
    assert bench.of("x") == [1]
