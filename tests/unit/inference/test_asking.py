"""What a request may bring and ask for beside a user and a length."""

from dataclasses import replace
from pathlib import Path

import pytest

from services.domain.bundles import ENCODER
from services.domain.errors import BundleBroken
from services.domain.history_input import HistoryRows
from services.domain.ids import ItemId, UserId
from services.domain.recommendations import ANYBODY, Degraded, NotRanked, Query, Ranking, Recommendation, Seen, Source
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.encoder import Encoder
from services.inference.excluded import Vector
from services.inference.recent_requests import RecentRequests, Request
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.scorers import VectorScorer
from services.inference.serving_model import ServingModel, load_serving_model
from tests.fakes.availability import HIDDEN, snapshot_of
from tests.fakes.clock import FakeClock
from tests.fakes.history_reader import FakeHistoryReader, history_of
from tests.fakes.result_cache import FakeResultCache
from tests.fakes.tiny_bundle import KINDS, write_bundle
from tests.unit.inference.conftest import VECTORS

ANN = UserId("ann")
ALL = [ItemId(f"item-{number}") for number in range(1, 7)]


class Bench:
    """A recommender over fakes."""

    def __init__(self, live: ServingModel) -> None:
        self.live = live
        self.cache, self.background = FakeResultCache(), BackgroundTasks(limit=8)
        self.histories = FakeHistoryReader(self.cache)
        self.availability, self.recent = AvailabilitySlot(FakeClock()), RecentRequests(FakeClock())
        self.availability.replace(EMPTY, None)
        self.recommender = Recommender(
            lambda: self.live, self.availability, self.histories, self.cache, self.background, Recorder(),
            recent=self.recent,
        )  # fmt: skip

    async def ask(self, query: Query) -> Recommendation:
        """With what goes on after the reply."""
        answer = await self.recommender.recommend(query)
        await self.background.drain(timeout_s=5)
        return answer

    async def rank(self, *item_ids: str, query: Query | None = None) -> Ranking:
        return await self.recommender.rank(query or Query(ANN), [ItemId(each) for each in item_ids])


@pytest.fixture
def bench(model: ServingModel) -> Bench:
    return Bench(model)


def ids(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items]


async def test_a_visitor_without_a_name_is_answered_from_what_the_request_brings(bench: Bench) -> None:
    """And another who did the same gets the answer from the cache."""
    query = Query(ANYBODY, 2, brought=history_of("item-5", version="b1"))
    first, second = await bench.ask(query), await bench.ask(query)
    assert (ids(first), first.source, first.history_version) == (["item-5", "item-3"], Source.MODEL, "b1")
    assert (first.cache_hit, second.cache_hit) == (False, True)
    other = await bench.ask(replace(query, brought=history_of("item-1", version="b2")))
    assert (ids(other)[0], other.cache_hit) == ("item-1", False)


async def test_what_a_request_brings_counts_for_a_user_only_while_their_history_cannot_be_read(bench: Bench) -> None:
    """Law 6: the simpler answer is still a personal one, and says so."""
    bench.histories.histories[ANN] = history_of("item-1")
    query = Query(ANN, 1, brought=history_of("item-5", version="b1"))
    assert ids(await bench.ask(query)) == ["item-1"]
    bench.histories.is_down = True
    answer = await bench.ask(query)
    assert (ids(answer), answer.source) == (["item-5"], Source.MODEL)
    assert (answer.degraded, answer.history_version) == (Degraded.FEATURE_STORE_DOWN, "b1")


async def test_unwanted_items_are_left_out_and_the_list_is_full_all_the_same(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-5")
    plain = await bench.ask(Query(ANN, 2))
    without = Query(ANN, 2, excluded=frozenset({ItemId("item-5"), ItemId("item-4"), ItemId("unknown")}))
    answer = await bench.ask(without)
    assert (ids(plain), ids(answer)) == (["item-5", "item-3"], ["item-3", "item-6"])
    assert ((await bench.ask(without)).cache_hit, (await bench.ask(Query(ANN, 2))).cache_hit) == (True, True)
    bench.histories.histories.clear()
    assert ids(await bench.ask(replace(without, k=9))) == ["item-1", "item-2", "item-3", "item-6"]


async def test_unwanted_items_that_the_model_does_not_know_are_no_other_question(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-5")
    await bench.ask(Query(ANN, 2))
    assert (await bench.ask(Query(ANN, 2, excluded=frozenset({ItemId("unknown")})))).cache_hit


@pytest.mark.parametrize(
    ("seen", "since_us", "left"),
    [
        (Seen.EXCLUDE_CONSUMED, 0, ["item-3", "item-4", "item-6", "item-2", "item-1"]),
        (Seen.EXCLUDE_SHOWN, 0, ["item-6", "item-2", "item-1"]),
        (Seen.EXCLUDE_SHOWN, 200, ["item-3", "item-6", "item-2", "item-1"]),
        (Seen.INCLUDE, 0, ["item-5", "item-3", "item-4", "item-6", "item-2", "item-1"]),
    ],
    ids=["the consumed", "and the shown", "and those shown lately", "nothing"],
)
async def test_the_caller_says_what_the_user_has_seen_that_may_come_again(
    bench: Bench, seen: Seen, since_us: int, left: list[str]
) -> None:
    bench.histories.histories[ANN] = history_of("item-5", consumed=("item-5",))
    bench.histories.shown[ANN] = {ItemId("item-3"): 100, ItemId("item-4"): 200}
    for _ in range(2):  # worked out, and from the cache; but what was shown would be out of date at once
        answer = await bench.ask(Query(ANN, 9, seen=seen, shown_since_us=since_us))
        assert ids(answer) == left
    assert answer.cache_hit == (seen is not Seen.EXCLUDE_SHOWN)


async def test_no_two_policies_share_a_cached_answer(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-5", consumed=("item-5",))
    bench.histories.shown[ANN] = {ItemId("item-3"): 100}
    assert not any([(await bench.ask(Query(ANN, 3, seen=seen))).cache_hit for seen in Seen])


async def test_only_plain_requests_are_kept_for_the_next_model_to_answer(bench: Bench) -> None:
    """Law 7: what a visitor without a name did is kept nowhere."""
    bench.histories.histories[ANN] = history_of("item-5")
    for query in (
        Query(ANYBODY, 2, brought=history_of("item-5")),
        Query(ANN, 2, excluded=frozenset({ItemId("item-1")})),
        Query(ANN, 2, seen=Seen.INCLUDE),
        Query(ANN, 4),
    ):
        await bench.ask(query)
    assert bench.recent.newest() == [Request(ANN, 4)]


@pytest.mark.parametrize("kind", KINDS)
async def test_a_callers_list_has_the_scores_and_the_order_that_a_recommendation_has(tmp_path: Path, kind: str) -> None:
    """Law 2: to the last bit, and in the caller's order."""
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS, kind=kind)
    bench = Bench(load_serving_model(tmp_path / "v1"))
    bench.histories.histories[ANN] = history_of("item-1", "item-4")
    best = await bench.ask(Query(ANN, 6, seen=Seen.INCLUDE))
    ranking = await bench.rank(*reversed(ALL))
    assert [each.item_id for each in ranking.items] == list(reversed(ALL))
    by_rank = sorted(ranking.items, key=lambda each: each.rank or 0)
    assert [(each.item_id, each.score) for each in by_rank] == [(each.item_id, each.score) for each in best.items]
    assert [each.rank for each in by_rank] == [1, 2, 3, 4, 5, 6]
    assert (ranking.source, ranking.model_version) == (best.source, "v1")


async def test_what_cannot_be_ranked_says_why(bench: Bench) -> None:
    bench.availability.replace(snapshot_of(item_5=HIDDEN), None)
    bench.histories.histories[ANN] = history_of("item-5", consumed=("item-3",))
    ranking = await bench.rank("item-5", "unknown", "item-3", "item-1")
    found = [(each.rank, each.score, each.not_ranked) for each in ranking.items]
    assert found == [
        (None, None, NotRanked.UNAVAILABLE),
        (None, None, NotRanked.UNKNOWN_ITEM),
        (1, 0.0, NotRanked.NO),
        (2, -2.0, NotRanked.NO),
    ], "what the user consumed is ranked: the caller asked for it"


async def test_items_that_nobody_knows_are_a_list_without_ranks(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-5")
    ranking = await bench.rank("unknown")
    assert [each.not_ranked for each in ranking.items] == [NotRanked.UNKNOWN_ITEM]


async def test_a_list_for_somebody_nobody_knows_is_ranked_by_popularity(bench: Bench) -> None:
    ranking = await bench.rank("item-6", "item-2")
    assert ([each.rank for each in ranking.items], ranking.source) == ([2, 1], Source.POPULAR)
    brought = await bench.rank("item-6", "item-5", query=Query(ANYBODY, brought=history_of("item-5")))
    assert ([each.rank for each in brought.items], brought.source) == ([2, 1], Source.MODEL)


class FailingEncoder(Encoder):
    def encode(self, history: HistoryRows) -> Vector:
        raise BundleBroken("the encoder failed; the test said so")


async def test_a_list_is_ranked_more_simply_when_something_fails(bench: Bench, tmp_path: Path) -> None:
    """Law 6."""
    bench.histories.is_down = True
    ranking = await bench.rank("item-6", "item-2")
    assert ([each.rank for each in ranking.items], ranking.degraded) == ([2, 1], Degraded.FEATURE_STORE_DOWN)
    bench.histories.is_down = False
    bench.histories.histories[ANN] = history_of("item-6")
    bench.live = replace(
        bench.live, scorer=VectorScorer(FailingEncoder(tmp_path / "v1" / ENCODER, dim=2), bench.live.index)
    )
    ranking = await bench.rank("item-6", "item-2")
    assert ([each.rank for each in ranking.items], ranking.degraded) == ([2, 1], Degraded.MODEL_FAILED)
    assert ranking.source is Source.POPULAR
