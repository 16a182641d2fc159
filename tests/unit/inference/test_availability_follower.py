import asyncio
from pathlib import Path

import pytest
from structlog.testing import capture_logs

from services.domain.errors import ModelNotReady
from services.domain.ids import ItemId
from services.domain.items import Availability, Item
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.availability_file import AvailabilityFile
from services.inference.availability_follower import AvailabilityFollower
from services.inference.serving_model import ServingModel
from services.settings import ServeSettings
from tests.fakes.clock import FakeClock
from tests.fakes.item_catalog import FakeItemCatalog
from tests.waiting import wait_until


class NoNotices:
    """A notice never comes, and waiting for one takes no time."""

    async def wait(self, timeout_s: float) -> bool:
        return False


class Bench:
    """A follower over fakes; several of them share a folder as the workers of a host do."""

    def __init__(self, folder: Path, catalog: FakeItemCatalog, model: ServingModel | None) -> None:
        self.catalog = catalog
        self.clock = FakeClock()
        self.slot = AvailabilitySlot(self.clock)
        self.file = AvailabilityFile(folder / "run" / "availability.jsonl")
        self.model = model
        self.follower = AvailabilityFollower(self.slot, catalog, NoNotices(), self.clock, self.file, self._live_model)

    def _live_model(self) -> ServingModel:
        if self.model is None:
            raise ModelNotReady("none yet")
        return self.model

    def hidden(self) -> set[str]:
        """What counts as restricted now."""
        return set() if self.slot.snapshot is None else set(self.slot.snapshot.restricted)


def hide(catalog: FakeItemCatalog, item_id: str, *, hidden: bool = True, second: int = 1) -> None:
    catalog.upsert([Item(ItemId(item_id), update_time_us=second, availability=Availability(hidden=hidden))])


@pytest.fixture
def bench(tmp_path: Path, model: ServingModel) -> Bench:
    return Bench(tmp_path, FakeItemCatalog(), model)


async def test_an_empty_catalog_is_known_to_hide_nothing(bench: Bench, model: ServingModel) -> None:
    await bench.follower.catch_up()
    assert bench.slot.of(model).is_known
    assert bench.hidden() == set()


async def test_each_change_counts_from_the_next_request_on(bench: Bench, model: ServingModel) -> None:
    hide(bench.catalog, "item-1")
    hide(bench.catalog, "item-2")
    await bench.follower.catch_up()
    assert bench.slot.of(model).rows.tolist() == [1, 2]
    hide(bench.catalog, "item-1", hidden=False, second=2)
    hide(bench.catalog, "item-3")
    await bench.follower.catch_up()
    assert bench.slot.of(model).rows.tolist() == [2, 3]


async def test_a_look_that_finds_nothing_new_changes_nothing(bench: Bench) -> None:
    hide(bench.catalog, "item-1")
    await bench.follower.catch_up()
    before = bench.slot.snapshot
    with capture_logs() as lines:
        await bench.follower.catch_up()
    assert bench.slot.snapshot is before
    assert lines == []


async def test_without_a_model_the_snapshot_waits_for_one(bench: Bench, model: ServingModel) -> None:
    bench.model = None
    hide(bench.catalog, "item-4")
    await bench.follower.catch_up()
    assert bench.slot.of(model).rows.tolist() == [4]


async def test_without_the_database_the_last_snapshot_goes_on(bench: Bench) -> None:
    """Law 6; the log says it once, and once when it is back."""
    hide(bench.catalog, "item-1")
    await bench.follower.catch_up()
    bench.catalog.is_down = True
    hide(bench.catalog, "item-2")
    with capture_logs() as lines:
        for _ in range(3):
            await bench.follower.catch_up()
        assert bench.hidden() == {"item-1"}
        bench.catalog.is_down = False
        await bench.follower.catch_up()
    assert bench.hidden() == {"item-1", "item-2"}
    assert [line["event"] for line in lines] == ["catalog_down", "catalog_back", "availability_loaded"]


async def test_a_change_whose_notice_is_lost_counts_within_a_second(bench: Bench) -> None:
    """Redis is down, say; the time left of the second is the catalog writer's and the question's own."""
    following = asyncio.create_task(bench.follower.run(ServeSettings().poll_interval_s))
    await bench.follower.tried()
    hide(bench.catalog, "item-1")
    await asyncio.to_thread(wait_until, lambda: bench.hidden() == {"item-1"}, 0.9, "the item is hidden")
    following.cancel()


async def test_a_database_made_anew_is_believed(bench: Bench) -> None:
    for second in range(1, 4):
        hide(bench.catalog, f"item-{second}")
    await bench.follower.catch_up()
    anew = FakeItemCatalog()
    hide(anew, "item-5")
    bench.follower._source = anew
    await bench.follower.catch_up()
    assert bench.hidden() == {"item-5"}


async def test_a_worker_that_starts_without_the_database_hides_what_was_hidden_last(
    bench: Bench, tmp_path: Path, model: ServingModel
) -> None:
    """Law 6: of whatever age that is, and answers say so. When the database is back it decides alone."""
    hide(bench.catalog, "item-1")
    await bench.follower.catch_up()
    newcomer = Bench(tmp_path, FakeItemCatalog(), model)
    newcomer.catalog.is_down = True
    with capture_logs() as lines:
        for _ in range(2):
            await newcomer.follower.catch_up()
            assert newcomer.hidden() == {"item-1"}
            assert newcomer.slot.of(model).rows.tolist() == [1]
            assert not newcomer.slot.of(model).is_known
    assert [line.get("still_hiding_as_of") for line in lines if line["event"] == "catalog_down"] == [1]
    newcomer.catalog.is_down = False
    hide(newcomer.catalog, "item-2")
    await newcomer.follower.catch_up()
    assert newcomer.hidden() == {"item-2"}
    assert newcomer.slot.of(model).is_known


async def test_without_the_database_and_a_file_nothing_is_known(bench: Bench, model: ServingModel) -> None:
    bench.catalog.is_down = True
    await bench.follower.catch_up()
    assert not bench.slot.of(model).is_known


async def test_the_file_is_written_at_once_then_now_and_then(bench: Bench) -> None:
    """A catalog that changes all the time must not keep the disk busy."""
    await bench.follower.catch_up()
    assert bench.file.recall() == EMPTY
    hide(bench.catalog, "item-1")
    await bench.follower.catch_up()
    assert bench.file.recall() == EMPTY
    bench.clock.advance(10)
    await bench.follower.catch_up()
    assert bench.file.recall() == bench.slot.snapshot


async def test_a_place_that_cannot_be_written_costs_nothing(bench: Bench, tmp_path: Path) -> None:
    (tmp_path / "run").write_text("a file where the folder should be")
    hide(bench.catalog, "item-1")
    with capture_logs() as lines:
        await bench.follower.catch_up()
    assert bench.hidden() == {"item-1"}
    assert [line["event"] for line in lines] == ["availability_loaded", "availability_not_remembered"]
