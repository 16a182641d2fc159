"""Many users in one call: each gets what a call of its own would give, from one model, and none holds up another."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from services.domain.bundles import ENCODER
from services.domain.errors import BundleBroken, InvalidRequest, ModelNotReady, NightjarError
from services.domain.history_input import HistoryRows
from services.domain.ids import ItemId, ModelVersion, UserId
from services.domain.recommendations import Degraded, Query, Recommendation
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.encoder import MAX_TOGETHER, Encoder
from services.inference.excluded import NOTHING
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.scorers import Asked, best_of_each
from services.inference.serving_model import ServingModel, load_serving_model
from services.inference.together import recommend_each
from tests.fakes.clock import FakeClock
from tests.fakes.history_reader import FakeHistoryReader, history_of
from tests.fakes.result_cache import FakeResultCache
from tests.fakes.tiny_bundle import KINDS, item_vectors, write_bundle

NUM_USERS = 50


def loaded(folder: Path, version: str, kind: str = "sequence") -> ServingModel:
    write_bundle(folder, version, vectors=item_vectors(1), kind=kind)
    return load_serving_model(folder)


class Bench:
    def __init__(self, model: ServingModel) -> None:
        self.model = model
        self.histories = FakeHistoryReader()
        for number in range(NUM_USERS):
            items = [f"item-{1 + (number + step) % 6}" for step in range(number % 5)]  # some did nothing
            self.histories.histories[UserId(f"u{number}")] = history_of(*items, version=f"h{number}")

    def recommender(self) -> Recommender:
        """With an empty cache of its own."""
        availability = AvailabilitySlot(FakeClock())
        availability.replace(EMPTY, None)
        return Recommender(
            self._live, availability, self.histories, FakeResultCache(), BackgroundTasks(limit=8), Recorder()
        )

    def _live(self) -> ServingModel:
        return self.model


def queries() -> list[Query]:
    return [Query(UserId(f"u{number}"), k=1 + number % 4) for number in range(NUM_USERS)]


@pytest.mark.parametrize("kind", KINDS)
async def test_each_user_gets_what_a_call_of_its_own_gives(tmp_path: Path, kind: str) -> None:
    bench = Bench(loaded(tmp_path / "v1", "v1", kind))
    alone = [await bench.recommender().recommend(query) for query in queries()]
    assert await recommend_each(bench.recommender(), queries()) == (ModelVersion("v1"), alone)


async def test_an_error_stays_in_its_place(tmp_path: Path) -> None:
    bench = Bench(loaded(tmp_path / "v1", "v1"))
    wrong = InvalidRequest("k", "is 0")
    asked: list[Query | NightjarError] = [Query(UserId("u1")), wrong, Query(UserId("u2"))]
    _, answers = await recommend_each(bench.recommender(), asked)
    assert answers[1] is wrong
    assert [type(answer) for answer in answers] == [Recommendation, InvalidRequest, Recommendation]


async def test_a_swap_in_the_middle_changes_no_answer_of_the_batch(tmp_path: Path) -> None:
    """Law 3: the second half of a batch comes from the model of the first."""
    bench, other = Bench(loaded(tmp_path / "v1", "v1")), loaded(tmp_path / "v2", "v2")
    whole = bench.histories.read

    async def read_and_swap(user_id: UserId) -> object:
        bench.model = other
        return await whole(user_id)

    bench.histories.read = read_and_swap  # type: ignore[assignment,method-assign]
    version, answers = await recommend_each(bench.recommender(), queries())
    assert version == "v1"
    assert {answer.model_version for answer in answers if isinstance(answer, Recommendation)} == {"v1"}


async def test_without_a_model_the_whole_batch_fails(tmp_path: Path) -> None:
    bench = Bench(loaded(tmp_path / "v1", "v1"))

    def none_yet() -> ServingModel:
        raise ModelNotReady("No model is loaded yet.")

    bench._live = none_yet  # type: ignore[method-assign]
    with pytest.raises(ModelNotReady):
        await recommend_each(bench.recommender(), queries())


async def test_one_history_on_which_the_model_fails_degrades_that_answer_alone(tmp_path: Path) -> None:
    """The bundle's graph takes histories of five events at most; whoever is encoded with the bad one is not harmed."""
    model = loaded(tmp_path / "v1", "v1")
    bench = Bench(model)
    bad = HistoryRows(*(np.array([10_000], np.int64) for _ in range(3)))  # an item row that the graph does not have
    good = model.history_rows(history_of("item-1").entries)
    with pytest.raises(BundleBroken):
        best_of_each(model.scorer, [Asked(good, 2, NOTHING), Asked(bad, 2, NOTHING)])
    rows = ServingModel.history_rows

    def rows_of(self: ServingModel, entries: object) -> HistoryRows:
        found = rows(self, entries)  # type: ignore[arg-type]
        return (
            bad if len(found.items) == 1 and found.items[0] == model.vocabulary.item_rows[ItemId("item-2")] else found
        )

    object.__setattr__(model, "history_rows", rows_of.__get__(model))
    _, answers = await recommend_each(bench.recommender(), queries())
    reasons = [answer.degraded for answer in answers if isinstance(answer, Recommendation)]
    assert reasons.count(Degraded.MODEL_FAILED) == sum(
        history.entries[0].item_id == "item-2" and len(history.entries) == 1
        for history in bench.histories.histories.values()
        if history.entries
    )
    assert Degraded.MODEL_FAILED in reasons
    assert reasons.count(Degraded.NONE) > MAX_TOGETHER


async def test_other_calls_come_in_between(tmp_path: Path) -> None:
    """The event loop turns between two groups that are encoded together."""
    bench, turns = Bench(loaded(tmp_path / "v1", "v1")), 0

    async def other_calls() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    others = asyncio.create_task(other_calls())
    await recommend_each(bench.recommender(), queries())
    others.cancel()
    assert turns >= NUM_USERS // MAX_TOGETHER


def test_several_histories_have_the_vectors_of_each_alone(tmp_path: Path) -> None:
    """To the bit, and in the order in which they were given, whatever their lengths."""
    write_bundle(tmp_path / "v1", "v1", vectors=item_vectors(1))
    random, encoder = np.random.default_rng(1), Encoder(tmp_path / "v1" / ENCODER, dim=4)
    histories = []
    for length in random.integers(1, 6, 60):
        types = np.ones(length, np.int64)
        histories.append(HistoryRows(random.integers(1, 7, length), types, types))
    for _ in range(2):  # the first time a shape is tried, the second time it is known
        together = encoder.encode_each(histories)
        assert all(map(np.array_equal, together, map(encoder.encode, histories)))
