"""A new model answers what was asked lately, ahead of the swap: it is refused if it fails, or nobody finds it cold."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace

import numpy as np
import pytest

from services.domain.errors import BundleBroken
from services.domain.ids import UserId
from services.domain.recommendations import Query
from services.inference.availability import AvailabilitySlot, Snapshot
from services.inference.background import BackgroundTasks
from services.inference.excluded import Excluded, Rows, Vector
from services.inference.recent_requests import RecentRequests
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.scorers import AllScores
from services.inference.serving_model import ServingModel
from services.inference.trying_out import PATIENCE_S, TRIED, TryingOut
from tests.fakes.availability import HIDDEN, snapshot_of
from tests.fakes.clock import FakeClock
from tests.fakes.history_reader import FakeHistoryReader, history_of
from tests.fakes.result_cache import FakeResultCache

ANN, NOBODY = UserId("ann"), UserId("nobody")


class CountingCache(FakeResultCache):
    """Counts what is written."""

    num_puts = 0

    async def put(self, user_id: UserId, key: bytes, value: bytes) -> None:
        self.num_puts += 1
        await super().put(user_id, key, value)


class Timer:
    """Seconds that a test lets pass: `step` at each look."""

    def __init__(self) -> None:
        self.now, self.step = 0.0, 0.0

    def __call__(self) -> float:
        self.now += self.step
        return self.now


@dataclass
class Bench:
    """A worker over fakes: what requests are answered with, and what tries models out."""

    live: ServingModel
    threads: ThreadPoolExecutor
    clock: FakeClock = field(default_factory=FakeClock)
    histories: FakeHistoryReader = field(default_factory=FakeHistoryReader)
    cache: CountingCache = field(default_factory=CountingCache)
    recorder: Recorder = field(default_factory=Recorder)
    timer: Timer = field(default_factory=Timer)

    def __post_init__(self) -> None:
        self.histories.cache = self.cache
        self.recent = RecentRequests(self.clock)
        self.availability = AvailabilitySlot(self.clock)
        self.background = BackgroundTasks(limit=8)
        self.recommender = Recommender(
            lambda: self.live, self.availability, self.histories, self.cache, self.background, self.recorder,
            recent=self.recent,
        )  # fmt: skip
        self.try_out = TryingOut(
            self.recent, self.histories, self.cache, self._snapshot, self.clock, self.threads, self.timer
        )

    def ask(self, *user_ids: str) -> None:
        for user_id in user_ids:
            self.histories.histories[UserId(user_id)] = history_of("item-5")
            self.recent.note(UserId(user_id), 3)

    def _snapshot(self) -> Snapshot | None:
        return self.availability.snapshot


@pytest.fixture
def bench(model: ServingModel) -> Iterator[Bench]:
    with ThreadPoolExecutor(1) as threads:
        yield Bench(model, threads)


async def test_who_asked_lately_finds_the_new_models_answer_in_the_cache(
    bench: Bench, other_model: ServingModel
) -> None:
    bench.availability.replace(snapshot_of(1, **{"item-3": HIDDEN}), None)
    bench.histories.histories[ANN] = history_of("item-5")
    await bench.recommender.recommend(Query(ANN, 3))
    await bench.try_out(other_model)
    bench.live = other_model
    answer = await bench.recommender.recommend(Query(ANN, 3))
    assert (answer.model_version, answer.cache_hit) == (other_model.version, True)
    assert "item-3" not in [item.item_id for item in answer.items]


async def test_an_answer_ahead_is_the_one_that_a_request_would_have_got(
    bench: Bench, other_model: ServingModel
) -> None:
    """Law 2; for that, too, what a user did since is another key."""
    bench.ask(ANN)
    bench.live = other_model
    worked_out = await bench.recommender.recommend(Query(ANN, 3))
    await bench.background.drain(timeout_s=5)
    bench.cache.values.clear()
    await bench.try_out(other_model)
    cached = await bench.recommender.recommend(Query(ANN, 3))
    assert (cached.items, cached.cache_hit) == (worked_out.items, True)
    bench.histories.histories[ANN] = history_of("item-5", "item-1", version="v2")
    assert not (await bench.recommender.recommend(Query(ANN, 3))).cache_hit


async def test_a_user_whom_the_new_model_does_not_know_is_passed_over(bench: Bench, other_model: ServingModel) -> None:
    bench.recent.note(NOBODY, 3)
    await bench.try_out(other_model)
    assert bench.cache.num_puts == 0


async def test_what_another_worker_answered_is_not_answered_again(bench: Bench, other_model: ServingModel) -> None:
    """But so many always are: each worker tries for itself."""
    bench.ask(*(f"user-{number}" for number in range(TRIED + 8)))
    await bench.try_out(other_model)
    assert bench.cache.num_puts == TRIED + 8
    await bench.try_out(other_model)
    assert bench.cache.num_puts == TRIED + 8 + TRIED


async def test_it_has_an_end(bench: Bench, other_model: ServingModel) -> None:
    bench.ask(*(f"user-{number}" for number in range(20)))
    bench.timer.step = PATIENCE_S / 8
    await bench.try_out(other_model)
    assert bench.cache.num_puts == 8


async def test_without_a_store_nothing_is_tried_and_nothing_refused(bench: Bench, other_model: ServingModel) -> None:
    bench.ask(ANN)
    bench.histories.is_down = True
    await bench.try_out(other_model)
    assert bench.cache.num_puts == 0


class BrokenScorer:
    """Fails on histories of two events."""

    def knows(self, history: object) -> bool:
        return True

    def best(self, history: tuple[np.ndarray, ...], k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        if len(history[0]) == 2:
            raise BundleBroken("the encoder gave a number that is not finite")
        return np.empty(0, np.int64), np.empty(0, np.float32)

    def similar(self, item_row: int, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        raise NotImplementedError

    def ranked(self, history: object, rows: Rows) -> tuple[Rows, Vector]:
        raise NotImplementedError

    def scores(self, history: object) -> AllScores:
        raise NotImplementedError


async def test_a_model_that_fails_on_some_is_refused_and_says_on_how_many(bench: Bench, model: ServingModel) -> None:
    """Else their users would get popular items from the flip on."""
    broken = replace(model, scorer=BrokenScorer())
    bench.ask("ann", "ben", "cleo")
    await bench.try_out(broken)
    for user_id in ("ann", "cleo"):
        bench.histories.histories[UserId(user_id)] = history_of("item-1", "item-2")
    with pytest.raises(BundleBroken, match=r"v1 fails on 2 lists .* not finite"):
        await bench.try_out(broken)
