"""What is popular now: the counters' word, without what may not be shown, and asked for once in some seconds."""

import asyncio

import pytest

from services.domain.counters import CounterKind
from services.domain.errors import ModelNotReady
from services.domain.ids import ItemId
from services.domain.items import Availability
from services.domain.recommendations import Degraded, PopularList, PopularQuery, Source
from services.inference.availability import EMPTY, AvailabilitySlot, Snapshot
from services.inference.popular import KEPT, READ_EVERY, PopularNow
from services.inference.serving_model import ServingModel
from tests.fakes.availability import HIDDEN, snapshot_of
from tests.fakes.clock import FakeClock
from tests.fakes.item_counters import FakeItemCounters

TRENDING = CounterKind.TRENDING


class Bench:
    def __init__(self, live: ServingModel) -> None:
        self.clock, self.counters = FakeClock(), FakeItemCounters()
        self.counters.said = [(ItemId("new"), 9.0), (ItemId("item-2"), 5.0), (ItemId("item-1"), 1.0)]
        self.availability = AvailabilitySlot(self.clock)
        self.availability.replace(EMPTY, None)
        self.live: ServingModel | None = live
        self.popular = PopularNow(self.counters, self._model, self.availability, self.clock)

    async def ask(
        self, k: int = 10, kind: CounterKind = TRENDING, surface: str | None = None, excluded: tuple[str, ...] = ()
    ) -> PopularList:
        return await self.popular.best(PopularQuery(kind, k, surface, frozenset(map(ItemId, excluded))))

    def _model(self) -> ServingModel:
        if self.live is None:
            raise ModelNotReady("none yet")
        return self.live


@pytest.fixture
def bench(model: ServingModel) -> Bench:
    return Bench(model)


def ids(answer: PopularList) -> list[str]:
    return [item.item_id for item in answer.items]


async def test_items_that_no_model_knows_yet_are_in_it_and_no_model_is_needed(bench: Bench) -> None:
    bench.live = None
    answer = await bench.ask(k=2)
    assert [(item.item_id, item.score) for item in answer.items] == [("new", 9.0), ("item-2", 5.0)]
    assert (answer.source, answer.degraded) == (Source.COUNTERS, Degraded.NONE)


async def test_what_may_not_be_shown_and_what_is_not_wanted_makes_room(bench: Bench) -> None:
    bench.availability.replace(snapshot_of(new=HIDDEN), None)
    assert ids(await bench.ask(k=1)) == ["item-2"]
    assert ids(await bench.ask(k=5, excluded=("item-2", "unknown"))) == ["item-1"]


async def test_a_window_opens_and_closes_by_itself(bench: Bench) -> None:
    now_us = int(bench.clock.now().timestamp() * 1_000_000)
    window = Availability(from_us=now_us + 1_000_000, until_us=now_us + 2_000_000)
    bench.availability.replace(snapshot_of(new=window), None)
    seen = []
    for _ in range(3):
        seen.append("new" in ids(await bench.ask()))
        bench.clock.advance(1)
    assert seen == [False, True, False]


async def test_the_counters_are_read_once_for_all_who_ask_within_some_seconds(bench: Bench) -> None:
    """Also while they are slow: a hundred questions are one."""
    bench.counters.may_answer.clear()
    asking = [asyncio.create_task(bench.ask()) for _ in range(100)]
    await bench.counters.was_asked.wait()
    bench.counters.may_answer.set()
    await asyncio.gather(*asking)
    assert bench.counters.asked == [(TRENDING, None)]
    await bench.ask(kind=CounterKind.POPULAR)
    await bench.ask(surface="home")
    assert bench.counters.asked[1:] == [(CounterKind.POPULAR, None), (TRENDING, "home")]
    bench.clock.advance(READ_EVERY.total_seconds())
    await bench.ask()
    assert len(bench.counters.asked) == 4


async def test_who_goes_away_takes_nobodys_answer_along(bench: Bench) -> None:
    bench.counters.may_answer.clear()
    first, second = (asyncio.create_task(bench.ask()) for _ in range(2))
    await bench.counters.was_asked.wait()
    first.cancel()
    bench.counters.may_answer.set()
    assert ids(await second)[0] == "new"


async def test_without_the_counters_a_models_popular_items_have_to_do_and_say_so(bench: Bench) -> None:
    """Law 6; and the counters are asked again at once."""
    bench.counters.is_down = True
    bench.availability.replace(snapshot_of(item_1=HIDDEN), None)
    answer = await bench.ask(k=2, excluded=("item-3",))
    assert (ids(answer), answer.source) == (["item-2", "item-4"], Source.POPULAR)
    assert answer.degraded is Degraded.FEATURE_STORE_DOWN
    bench.counters.is_down = False
    assert (await bench.ask()).source is Source.COUNTERS


async def test_without_counters_and_without_a_model_there_is_no_answer(bench: Bench) -> None:
    bench.counters.is_down, bench.live = True, None
    with pytest.raises(ModelNotReady):
        await bench.ask()


@pytest.mark.parametrize("snapshot", [None, Snapshot(1, {}, is_recalled=True)])
async def test_a_worker_that_has_not_heard_of_the_catalog_says_so(bench: Bench, snapshot: Snapshot | None) -> None:
    if snapshot is None:
        bench.availability = AvailabilitySlot(bench.clock)
        bench.popular = PopularNow(bench.counters, bench._model, bench.availability, bench.clock)
    else:
        bench.availability.replace(snapshot, None)
    assert (await bench.ask()).degraded is Degraded.CATALOG_DOWN


async def test_what_is_kept_is_bounded_however_many_surfaces_are_asked_for(bench: Bench) -> None:
    """Law 9."""
    for number in range(KEPT + 1):
        await bench.ask(surface=f"surface-{number}")
    await bench.ask(surface=f"surface-{KEPT}")
    assert len(bench.counters.asked) == KEPT + 1
    await bench.ask(surface="surface-0")
    assert len(bench.counters.asked) == KEPT + 2, "the oldest was forgotten"
