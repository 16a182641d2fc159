import asyncio
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from structlog.testing import capture_logs

from services.domain.bundles import ENCODER
from services.domain.errors import BundleBroken, ModelNotReady, UnknownItem
from services.domain.history_input import HistoryRows
from services.domain.ids import ItemId, UserId
from services.domain.interactions import UserHistory
from services.domain.items import Availability
from services.domain.ports import HistoryReader, ResultCache
from services.domain.recommendations import Degraded, Query, Recommendation, Source
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.encoder import Encoder
from services.inference.excluded import Vector
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
PERSONAL = [kind for kind in KINDS if kind != "popularity"]


class Bench:
    """A recommender over fakes; `live` is the model it answers with."""

    def __init__(self, live: ServingModel) -> None:
        self.live = live
        self.cache = FakeResultCache()
        self.histories = FakeHistoryReader(self.cache)
        self.background = BackgroundTasks(limit=8)
        self.recorder = Recorder()
        self.clock = FakeClock()
        self.availability = AvailabilitySlot(self.clock)
        self.availability.replace(EMPTY, None)
        self.recommender = self.with_stores(self.histories, self.cache)

    def with_stores(self, histories: HistoryReader, cache: ResultCache) -> Recommender:
        return Recommender(lambda: self.live, self.availability, histories, cache, self.background, self.recorder)

    async def recommend(self, k: int = 3) -> Recommendation:
        """Ann's list; what goes on after the reply is finished too."""
        answer = await self.recommender.recommend(Query(ANN, k))
        await self.background.drain(timeout_s=5)
        return answer

    def lookups(self, outcome: str) -> float:
        return self.recorder.value("nightjar_cache_lookups_total", outcome=outcome)


@pytest.fixture
def bench(model: ServingModel) -> Bench:
    return Bench(model)


def ids(answer: Recommendation) -> list[str]:
    return [item.item_id for item in answer.items]


async def test_a_known_user_gets_the_items_nearest_to_their_history(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-5")
    answer = await bench.recommend(k=2)
    assert ids(answer) == ["item-5", "item-3"]  # 3, 4 and 6 tie behind 5, and the first row wins
    assert [item.score for item in answer.items] == [1.0, 0.0]
    assert (answer.source, answer.model_version, answer.history_version) == (Source.MODEL, "v1", "v1")
    assert answer.degraded is Degraded.NONE


async def test_what_the_user_has_consumed_is_not_recommended_again(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-1", consumed=("item-1", "item-3", "unknown"))
    assert ids(await bench.recommend(k=6)) == ["item-2", "item-4", "item-6", "item-5"]


async def test_an_event_changes_the_next_answer(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-1", version="a")
    before = await bench.recommend()
    bench.histories.histories[ANN] = history_of("item-1", "item-5", "item-5", "item-5", version="b")
    after = await bench.recommend()
    assert ids(before)[0] == "item-1"
    assert ids(after)[0] == "item-5"


@pytest.mark.parametrize(
    "history",
    [UserHistory(), history_of("unknown"), history_of("item-1", kind="unknown")],
    ids=["nobody", "items the model does not know", "event types the model does not know"],
)
async def test_a_user_the_model_knows_nothing_of_gets_popular_items(bench: Bench, history: UserHistory) -> None:
    bench.histories.histories[ANN] = history
    answer = await bench.recommend()
    assert ids(answer) == ["item-1", "item-2", "item-3"]
    assert (answer.source, answer.degraded) == (Source.POPULAR, Degraded.NONE)


async def test_popular_items_leave_out_the_consumed(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("unknown", consumed=("item-1",), version="x")
    answer = await bench.recommend()
    assert ids(answer) == ["item-2", "item-3", "item-4"]
    assert answer.history_version == "x"


async def test_a_popularity_model_gives_popular_items_to_everybody(tmp_path: Path) -> None:
    write_bundle(tmp_path / "p1", "p1", vectors=VECTORS, kind="popularity")
    bench = Bench(load_serving_model(tmp_path / "p1"))
    bench.histories.histories[ANN] = history_of("item-5")
    answer = await bench.recommend()
    assert (ids(answer), answer.source) == (["item-1", "item-2", "item-3"], Source.POPULAR)


@pytest.mark.parametrize("kind", PERSONAL)
async def test_every_personal_kind_answers_and_is_cached_alike(tmp_path: Path, kind: str) -> None:
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS, kind=kind)
    bench = Bench(load_serving_model(tmp_path / "v1"))
    bench.histories.histories[ANN] = history_of("item-1", consumed=("item-1", "item-4"))
    first, second = await bench.recommend(k=9), await bench.recommend(k=9)
    assert ids(first) == ["item-2", "item-3", "item-6", "item-5"]
    assert (first.source, first.cache_hit, second.cache_hit) == (Source.MODEL, False, True)
    assert second.items == first.items
    similar = bench.recommender.similar(ItemId("item-1"), 1)
    assert [item.item_id for item in similar.items] == ["item-2"]


@pytest.mark.parametrize("kind", ["ials", "item_knn", "ease", "gf_cf"])
async def test_who_only_spoke_against_items_is_answered_as_a_stranger(tmp_path: Path, kind: str) -> None:
    tables = {"type_weights": np.array([0, 1, -1], np.float32)}
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS, kind=kind, tables=tables)
    bench = Bench(load_serving_model(tmp_path / "v1"))
    bench.histories.histories[ANN] = history_of("item-5", kind="rating")
    answer = await bench.recommend()
    assert (ids(answer), answer.source) == (["item-1", "item-2", "item-3"], Source.POPULAR)
    assert bench.cache.values == {}


async def test_without_the_store_the_answer_is_popular_says_so_and_is_not_cached(bench: Bench) -> None:
    """Law 6, and a cached poor answer would outlive the fault."""
    bench.histories.is_down = True
    answer = await bench.recommend()
    assert ids(answer) == ["item-1", "item-2", "item-3"]
    assert (answer.source, answer.degraded) == (Source.POPULAR, Degraded.FEATURE_STORE_DOWN)
    assert bench.cache.values == {}


class FailingEncoder(Encoder):
    """Fails on every history until it is mended, as a graph may on a history it was not warmed up with."""

    broken = True

    def encode(self, history: HistoryRows) -> Vector:
        if self.broken:
            raise BundleBroken("the encoder failed; the test said so")
        return super().encode(history)


async def test_a_model_that_fails_gives_a_popular_answer_that_says_so_and_is_not_cached(
    bench: Bench, tmp_path: Path
) -> None:
    """Law 6; the log names the version once, however many requests fail."""
    encoder = FailingEncoder(tmp_path / "v1" / ENCODER, dim=2)
    bench.live = replace(bench.live, scorer=VectorScorer(encoder, bench.live.index))
    bench.histories.histories[ANN] = history_of("item-5", consumed=("item-1",))
    with capture_logs() as lines:
        answers = [await bench.recommend(k=2) for _ in range(3)]
    assert {(*ids(answer), answer.source, answer.degraded) for answer in answers} == {
        ("item-2", "item-3", Source.POPULAR, Degraded.MODEL_FAILED)
    }
    assert [(line["event"], line["model_version"]) for line in lines] == [("model_failed", "v1")]
    encoder.broken = False
    mended = await bench.recommend(k=2)
    assert (mended.source, mended.degraded, mended.cache_hit) == (Source.MODEL, Degraded.NONE, False)


async def test_the_same_question_is_answered_from_the_cache(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-5")
    first, second = await bench.recommend(), await bench.recommend()
    assert (first.cache_hit, second.cache_hit) == (False, True)
    assert second.items == first.items
    assert (bench.lookups("miss"), bench.lookups("hit")) == (1, 1)


async def test_another_k_or_another_history_is_another_question(bench: Bench) -> None:
    bench.histories.histories[ANN] = history_of("item-5", version="a")
    await bench.recommend(k=3)
    assert not (await bench.recommend(k=2)).cache_hit
    bench.histories.histories[ANN] = history_of("item-5", version="b")
    assert not (await bench.recommend(k=3)).cache_hit


async def test_a_cached_answer_of_another_version_is_never_used(bench: Bench, other_model: ServingModel) -> None:
    """Law 3."""
    bench.histories.histories[ANN] = history_of("item-5")
    old = await bench.recommend(k=1)
    bench.live = other_model
    new = await bench.recommend(k=1)
    assert (old.model_version, ids(old)) == ("v1", ["item-5"])
    assert (new.model_version, ids(new), new.cache_hit) == ("v2", ["item-6"], False)


@pytest.mark.parametrize("breaks", [lambda value: value[:0], lambda value: value[:-1], lambda value: b"\xff" + value])
async def test_a_broken_cached_value_is_a_miss(bench: Bench, breaks: Callable[[bytes], bytes]) -> None:
    bench.histories.histories[ANN] = history_of("item-5")
    first = await bench.recommend()
    bench.cache.values = {key: breaks(value) for key, value in bench.cache.values.items()}
    second = await bench.recommend()
    assert (second.items, second.cache_hit) == (first.items, False)


async def test_a_hidden_item_is_in_no_answer(bench: Bench) -> None:
    """Of the model, of popularity for whatever reason, and of similar items; what is left keeps its order."""
    bench.availability.replace(snapshot_of(item_1=HIDDEN, item_3=HIDDEN), None)
    bench.histories.histories[ANN] = history_of("item-1", consumed=("item-1", "item-2"))
    personal = await bench.recommend(k=6)
    assert (personal.source, ids(personal)) == (Source.MODEL, ["item-4", "item-6", "item-5"])
    bench.histories.histories.clear()
    popular = await bench.recommend(k=6)
    assert (popular.source, ids(popular)) == (Source.POPULAR, ["item-2", "item-4", "item-5", "item-6"])
    bench.histories.is_down = True
    assert ids(await bench.recommend(k=2)) == ["item-2", "item-4"]
    similar = bench.recommender.similar(ItemId("item-2"), 6)
    assert [item.item_id for item in similar.items] == ["item-4", "item-6", "item-5"]
    assert len({personal.catalog_version, popular.catalog_version, similar.catalog_version, ""}) == 2


async def test_hiding_an_item_is_another_question_to_the_cache_and_showing_it_again_is_the_first(bench: Bench) -> None:
    """Law 2: a cached answer never holds what may not be shown."""
    bench.histories.histories[ANN] = history_of("item-5")
    before = await bench.recommend(k=1)
    bench.availability.replace(snapshot_of(item_5=HIDDEN), None)
    hidden = await bench.recommend(k=1)
    bench.availability.replace(EMPTY, None)
    after = await bench.recommend(k=1)
    assert [ids(answer) for answer in (before, hidden, after)] == [["item-5"], ["item-3"], ["item-5"]]
    assert [answer.cache_hit for answer in (before, hidden, after)] == [False, False, True]
    assert (before.catalog_version, after.catalog_version) == ("", "")


async def test_the_edge_of_a_window_changes_a_cached_answer_by_itself(bench: Bench) -> None:
    closing_us = int(bench.clock.now().timestamp() * 1_000_000) + 1_000_000
    bench.availability.replace(snapshot_of(item_5=Availability(until_us=closing_us)), None)
    bench.histories.histories[ANN] = history_of("item-5")
    assert ids(await bench.recommend(k=1)) == ["item-5"]
    bench.clock.advance(1)
    assert ids(await bench.recommend(k=1)) == ["item-3"]


async def test_a_worker_that_never_read_the_catalog_says_so(bench: Bench) -> None:
    """Law 6: it answers, and whoever must not show a hidden item can tell."""
    bench.availability = AvailabilitySlot(bench.clock)
    bench.recommender = bench.with_stores(bench.histories, bench.cache)
    answer = await bench.recommend()
    assert (answer.source, answer.degraded) == (Source.POPULAR, Degraded.CATALOG_DOWN)
    bench.histories.histories[ANN] = history_of("item-5")
    answer = await bench.recommend()
    assert (answer.source, answer.degraded) == (Source.MODEL, Degraded.CATALOG_DOWN)
    bench.histories.is_down = True
    assert (await bench.recommend()).degraded is Degraded.FEATURE_STORE_DOWN


async def test_everything_hidden_leaves_an_empty_list(bench: Bench) -> None:
    bench.availability.replace(snapshot_of(1, **{f"item_{row}": HIDDEN for row in range(1, 7)}), None)
    bench.histories.histories[ANN] = history_of("item-5", consumed=("item-5",))
    assert ids(await bench.recommend()) == []
    bench.histories.histories.clear()
    assert ids(await bench.recommend()) == []
    assert bench.recommender.similar(ItemId("item-1"), 3).items == ()


async def test_the_reply_does_not_wait_for_the_cache_to_be_written(bench: Bench) -> None:
    release = asyncio.Event()

    class SlowCache(FakeResultCache):
        async def put(self, user_id: UserId, key: bytes, value: bytes) -> None:
            await release.wait()
            await super().put(user_id, key, value)

    cache = SlowCache()
    recommender = bench.with_stores(bench.histories, cache)
    bench.histories.histories[ANN] = history_of("item-5")
    assert (await recommender.recommend(Query(ANN, 3))).source is Source.MODEL
    assert cache.values == {}
    release.set()
    await bench.background.drain(timeout_s=5)
    assert len(cache.values) == 1


async def test_a_request_ends_on_the_model_it_began_with(bench: Bench, other_model: ServingModel) -> None:
    """Law 3: a swap while the history is read changes nothing for this request."""

    class SwappingReader(FakeHistoryReader):
        async def read(self, user_id: UserId) -> UserHistory:
            bench.live = other_model
            return history_of("item-5")

    old = bench.live
    bench.recommender = bench.with_stores(SwappingReader(), bench.cache)
    answer = await bench.recommend(k=1)
    assert (answer.model_version, ids(answer)) == (old.version, ["item-5"])
    assert bench.live is other_model


async def test_similar_items_come_from_the_live_model(bench: Bench, other_model: ServingModel) -> None:
    similar = bench.recommender.similar(ItemId("item-1"), 1)
    assert [item.item_id for item in similar.items] == ["item-2"]
    bench.live = other_model
    assert bench.recommender.similar(ItemId("item-1"), 1).model_version == "v2"


async def test_an_item_outside_the_model_is_unknown(bench: Bench) -> None:
    with pytest.raises(UnknownItem, match="'item-7'"):
        bench.recommender.similar(ItemId("item-7"), 1)


async def test_before_the_first_model_the_answer_is_not_ready() -> None:
    def not_ready() -> ServingModel:
        raise ModelNotReady("none yet")

    recommender = Recommender(
        not_ready,
        AvailabilitySlot(FakeClock()),
        FakeHistoryReader(),
        FakeResultCache(),
        BackgroundTasks(1),
        Recorder(),
    )
    with pytest.raises(ModelNotReady):
        await recommender.recommend(Query(ANN, 3))
    with pytest.raises(ModelNotReady):
        recommender.similar(ItemId("item-1"), 3)
