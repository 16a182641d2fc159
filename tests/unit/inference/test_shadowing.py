"""What a shadow promises: it is asked what was asked, nobody sees what it says, and no request waits for it."""

import asyncio
import threading
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import structlog
from structlog.testing import capture_logs

from services.domain.errors import BundleBroken
from services.domain.ids import UserId
from services.domain.recommendations import Query
from services.domain.trials import TrialKind
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.excluded import NOTHING
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.serving_model import ServingModel
from services.inference.shadowing import TIME_SHARE, Shadowing
from services.inference.trial_slot import TrialModel, TrialSlot
from tests.fakes.availability import HIDDEN, snapshot_of
from tests.fakes.clock import FakeClock
from tests.fakes.history_reader import FakeHistoryReader, history_of
from tests.fakes.result_cache import FakeResultCache
from tests.fakes.trials import trial

ANN = UserId("ann")
SHADOW = trial(TrialKind.SHADOW, "v2")


class SlowScorer:
    """Answers as another one does, once it may; or fails. It notes whom it was asked of, and in which thread."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self.may_answer = threading.Event()
        self.may_answer.set()
        self.threads: list[str] = []
        self.is_broken = False
        self.excluded: list[list[int]] = []

    def knows(self, history: Any) -> bool:
        return bool(self._inner.knows(history))

    def best(self, history: Any, k: int, excluded: Any) -> Any:
        assert self.may_answer.wait(timeout=10)
        self.threads.append(threading.current_thread().name)
        self.excluded.append(np.flatnonzero(excluded.among(np.arange(7))).tolist())
        if self.is_broken:
            raise BundleBroken("no number")
        return self._inner.best(history, k, excluded)

    def ranked(self, history: Any, rows: Any) -> Any:
        return self._inner.ranked(history, rows)

    def scores(self, history: Any) -> Any:
        return self._inner.scores(history)

    def similar(self, item_row: int, k: int, excluded: Any) -> Any:
        return self._inner.similar(item_row, k, excluded)


class Bench:
    """A recommender with v1 live and v2 as everybody's shadow. `now`: of the shadow's timer, seconds."""

    def __init__(self, live: ServingModel, other: ServingModel) -> None:
        clock = FakeClock()
        self.now = 0.0
        self.availability = AvailabilitySlot(clock)
        self.availability.replace(EMPTY, None)
        self.trials, self.recorder = TrialSlot(self.availability, clock), Recorder()
        self.scorer = SlowScorer(other.scorer)
        self.trials.hold(self.trials.ready(SHADOW, replace(other, scorer=self.scorer), "digest"))
        self.shadowing = Shadowing(self.trials, self.recorder, lambda: self.now)
        self.cache = FakeResultCache()
        self.histories = FakeHistoryReader(self.cache)
        self.histories.histories[ANN] = history_of("item-1", "item-1", "item-3")
        self.background = BackgroundTasks(64)
        self.recommender = Recommender(
            lambda: live, self.availability, self.histories, self.cache, self.background, self.recorder, self.trials,
            self.shadowing,
        )  # fmt: skip

    async def recommend(self, k: int = 3) -> list[str]:
        answer = await self.recommender.recommend(Query(ANN, k))
        assert answer.model_version == "v1"
        return [each.item_id for each in answer.items]

    async def settle(self) -> None:
        """Until what goes on after the replies is done."""
        while others := asyncio.all_tasks() - {asyncio.current_task()}:
            await asyncio.gather(*others)

    @property
    def shadow(self) -> TrialModel:
        shadow = self.trials.shadow
        assert shadow is not None
        return shadow

    def outcomes(self, outcome: str) -> float:
        return self.recorder.value("nightjar_trial_answers_total", kind="shadow", outcome=outcome)


@pytest.fixture(autouse=True)
def every_line() -> None:
    """Whatever level a test before this one has set."""
    structlog.reset_defaults()


@pytest.fixture
def bench(model: ServingModel, other_model: ServingModel) -> Bench:
    return Bench(model, other_model)


async def test_it_is_asked_the_same_and_compared(bench: Bench, other_model: ServingModel) -> None:
    with capture_logs() as lines:
        returned = await bench.recommend(k=3)
        await bench.settle()
    rows = other_model.history_rows(bench.histories.histories[ANN].entries)
    shadows, _ = other_model.scorer.best(rows, 3, NOTHING)
    common = {f"item-{row}" for row in shadows} & set(returned)
    (line,) = [each for each in lines if each["event"] == "shadow_answered"]
    assert line["overlap_at_10"] == pytest.approx(len(common) / 3)
    assert line["items"] == tuple(f"item-{row}" for row in shadows)
    assert ANN not in str(lines), "no log names a user"
    figures = bench.shadow.tally.now
    assert figures.likeness.overlap_at_10 == pytest.approx(len(common) / 3)
    assert (figures.of_trial.num_calls, figures.of_trial.num_failed) == (1, 0)
    assert bench.outcomes("answered") == 1


async def test_the_reply_does_not_wait_for_it_and_what_comes_meanwhile_it_is_not_asked(bench: Bench) -> None:
    bench.scorer.may_answer.clear()
    for _ in range(5):
        assert await bench.recommend()
    assert bench.scorer.threads == []
    assert bench.shadow.tally.now.likeness.num_dropped == 4
    bench.scorer.may_answer.set()
    await bench.settle()
    assert len(bench.scorer.threads) == 1
    assert bench.scorer.threads[0].startswith("shadow"), "not in the event loop's thread, which answers requests"
    assert bench.outcomes("dropped") == 4


async def test_it_takes_no_more_than_its_share_of_the_time(bench: Bench) -> None:
    bench.scorer.may_answer.clear()
    await bench.recommend()
    await asyncio.sleep(0)  # it begins, at second 0
    await asyncio.sleep(0)
    bench.now = 1.0
    bench.scorer.may_answer.set()
    await bench.settle()
    for bench.now in (1.0, 0.99 / TIME_SHARE):
        await bench.recommend()
        await bench.settle()
    assert len(bench.scorer.threads) == 1
    bench.now = 1 / TIME_SHARE
    await bench.recommend()
    await bench.settle()
    assert len(bench.scorer.threads) == 2
    assert bench.shadow.tally.now.likeness.num_dropped == 2


async def test_nothing_of_it_is_cached_or_returned(bench: Bench) -> None:
    first = await bench.recommend()
    await bench.settle()
    assert len(bench.cache.values) == 1, "the live model's"
    answer = await bench.recommender.recommend(Query(ANN, 3))
    assert answer.cache_hit
    assert [each.item_id for each in answer.items] == first


async def test_a_shadow_that_fails_is_counted_said_once_and_felt_by_nobody(bench: Bench) -> None:
    bench.scorer.is_broken = True
    with capture_logs() as lines:
        for _ in range(3):
            assert await bench.recommend()
            await bench.settle()
    assert [each["event"] for each in lines if each["log_level"] == "error"] == ["shadow_failed"]
    assert bench.shadow.tally.now.of_trial.num_failed == 3
    assert bench.outcomes("failed") == 3
    assert bench.recorder.vitals.now.num_degraded == 0


async def test_it_may_show_no_more_than_the_live_model(bench: Bench) -> None:
    """Else hidden items would count as a difference between the models."""
    bench.availability.replace(snapshot_of(item_3=HIDDEN), None)
    bench.histories.histories[ANN] = history_of("item-1", consumed=("item-1",))
    await bench.recommend()
    await bench.settle()
    assert bench.scorer.excluded == [[1, 3]]


async def test_users_outside_its_share_are_not_asked_and_not_dropped(bench: Bench) -> None:
    bench.trials.change(replace(SHADOW, number=2, share=1e-12))
    await bench.recommend()
    await bench.settle()
    assert bench.scorer.threads == []
    assert bench.shadow.tally.now.likeness.num_dropped == 0


async def test_without_a_history_there_is_nothing_to_ask(bench: Bench) -> None:
    bench.histories.is_down = True
    assert await bench.recommend()
    await bench.settle()
    assert bench.scorer.threads == []


async def test_an_empty_list_is_like_nothing(bench: Bench) -> None:
    bench.availability.replace(snapshot_of(1, **{f"item_{row}": HIDDEN for row in range(1, 7)}), None)
    assert await bench.recommend() == []
    await bench.settle()
    assert bench.shadow.tally.now.likeness.num_compared == 0
    assert bench.shadow.tally.now.of_trial.num_calls == 1


async def test_closing_gives_up_what_hangs(bench: Bench) -> None:
    bench.scorer.may_answer.clear()
    await bench.recommend()
    await bench.shadowing.close(timeout_s=0.01)
    bench.scorer.may_answer.set()
    assert bench.shadow.tally.now.of_trial.num_calls == 0
