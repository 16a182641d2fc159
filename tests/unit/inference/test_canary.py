"""What a canary promises: its users get its answers and no others, and both sides are counted apart."""

import asyncio
from dataclasses import replace
from typing import Any

import pytest

from services.domain.errors import BundleBroken, ModelNotReady
from services.domain.ids import UserId
from services.domain.interactions import UserHistory
from services.domain.recommendations import Degraded, Query
from services.domain.trials import TrialKind
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.scorers import VectorScorer
from services.inference.serving_model import ServingModel
from services.inference.trial_slot import TrialModel, TrialSlot
from tests.fakes.availability import HIDDEN, snapshot_of
from tests.fakes.clock import FakeClock
from tests.fakes.history_reader import FakeHistoryReader, history_of
from tests.fakes.result_cache import FakeResultCache
from tests.fakes.trials import trial

CANARY = trial(TrialKind.CANARY, "v2", 0.5)
USERS = [UserId(f"user-{number}") for number in range(40)]
INSIDE = next(user for user in USERS if CANARY.includes(user))
OUTSIDE = next(user for user in USERS if not CANARY.includes(user))


class Bench:
    """A recommender with v1 live and v2 as the canary of half the users, all of whom looked at item-5."""

    def __init__(self, live: ServingModel, other: ServingModel) -> None:
        self.live = live
        clock = FakeClock()
        self.availability = AvailabilitySlot(clock)
        self.availability.replace(EMPTY, None)
        self.trials = TrialSlot(self.availability, clock)
        self.trials.hold(self.trials.ready(CANARY, other, "digest"))
        self.cache, self.recorder = FakeResultCache(), Recorder()
        self.histories = FakeHistoryReader(self.cache)
        for user in USERS:
            self.histories.histories[user] = history_of("item-5")
        self.background = BackgroundTasks(64)
        self.recommender = Recommender(
            self.model,
            self.availability,
            self.histories,
            self.cache,
            self.background,
            self.recorder,
            self.trials,
        )

    def model(self) -> ServingModel:
        return self.live

    async def recommend(self, user: UserId, k: int = 1) -> tuple[str, list[str]]:
        answer = await self.recommender.recommend(Query(user, k))
        await self.background.drain(timeout_s=5)
        return answer.model_version, [each.item_id for each in answer.items]

    @property
    def canary(self) -> TrialModel:
        canary = self.trials.canary
        assert canary is not None
        return canary


@pytest.fixture
def bench(model: ServingModel, other_model: ServingModel) -> Bench:
    return Bench(model, other_model)


async def test_its_users_get_its_answers_and_the_others_those_of_the_live_model(bench: Bench) -> None:
    for user in USERS:
        expected = ("v2", ["item-6"]) if CANARY.includes(user) else ("v1", ["item-5"])
        assert await bench.recommend(user) == expected
    assert 0 < sum(CANARY.includes(user) for user in USERS) < len(USERS)


async def test_neither_side_gets_what_the_other_cached(bench: Bench) -> None:
    bench.histories.histories[INSIDE] = history_of("item-1", "item-1", "item-3")
    with_canary = await bench.recommend(INSIDE, k=3)
    bench.trials.let_go(TrialKind.CANARY)
    without = await bench.recommend(INSIDE, k=3)
    assert (with_canary[0], without[0]) == ("v2", "v1")
    assert with_canary[1] != without[1]


async def test_when_it_ends_its_users_get_the_live_model_and_a_request_ends_on_what_it_began_with(
    bench: Bench,
) -> None:
    class Ending(FakeHistoryReader):
        async def read(self, user_id: UserId) -> UserHistory:
            bench.trials.let_go(TrialKind.CANARY)
            return await super().read(user_id)

    reader = Ending()
    reader.histories.update(bench.histories.histories)
    bench.recommender = Recommender(
        bench.model,
        bench.availability,
        reader,
        bench.cache,
        bench.background,
        bench.recorder,
        bench.trials,
    )
    assert (await bench.recommend(INSIDE))[0] == "v2"
    assert (await bench.recommend(INSIDE))[0] == "v1"


async def test_both_sides_are_counted_apart(bench: Bench) -> None:
    for user in (INSIDE, INSIDE, OUTSIDE):
        await bench.recommend(user)
    bench.histories.is_down = True
    await bench.recommend(OUTSIDE)
    figures = bench.canary.tally.now
    assert (figures.of_trial.num_calls, figures.of_live.num_calls) == (2, 2)
    assert (figures.of_trial.num_degraded, figures.of_live.num_degraded) == (0, 1)
    assert bench.recorder.value("nightjar_trial_answers_total", kind="canary", outcome="answered") == 2


async def test_a_failed_call_counts_as_one_and_a_caller_who_left_does_not(bench: Bench) -> None:
    class Stuck(FakeHistoryReader):
        async def read(self, user_id: UserId) -> UserHistory:
            if user_id == INSIDE:
                raise RuntimeError("nobody foresaw this")
            await asyncio.Event().wait()
            raise AssertionError

    bench.recommender = Recommender(
        bench.model,
        bench.availability,
        Stuck(),
        bench.cache,
        bench.background,
        bench.recorder,
        bench.trials,
    )
    with pytest.raises(RuntimeError):
        await bench.recommend(INSIDE)
    call = asyncio.create_task(bench.recommend(OUTSIDE))
    await asyncio.sleep(0)
    call.cancel()
    await asyncio.gather(call, return_exceptions=True)
    figures = bench.canary.tally.now
    assert (figures.of_trial.num_calls, figures.of_trial.num_failed, figures.of_live.num_calls) == (1, 1, 0)


async def test_a_canary_that_fails_on_a_history_degrades_its_own_users_alone(
    bench: Bench, other_model: ServingModel
) -> None:
    class Broken:
        def knows(self, history: object) -> bool:
            return True

        def encode(self, history: object) -> Any:
            raise BundleBroken("no number")

    broken = replace(other_model, scorer=VectorScorer(Broken(), other_model.index))
    bench.trials.hold(bench.trials.ready(CANARY, broken, "digest"))
    answer = await bench.recommender.recommend(Query(INSIDE, 1))
    assert (answer.model_version, answer.degraded) == ("v2", Degraded.MODEL_FAILED)
    assert (await bench.recommender.recommend(Query(OUTSIDE, 1))).degraded is Degraded.NONE
    assert bench.canary.tally.now.of_trial.num_degraded == 1


async def test_a_hidden_item_is_in_no_answer_of_either_side(bench: Bench) -> None:
    """From the same moment on, though what it means is worked out for each model apart."""
    assert await bench.recommend(INSIDE) == ("v2", ["item-6"])
    bench.availability.replace(snapshot_of(item_5=HIDDEN, item_6=HIDDEN), None)
    for user in (INSIDE, OUTSIDE):
        assert (await bench.recommend(user))[1] not in (["item-5"], ["item-6"])
    bench.availability.replace(snapshot_of(2), None)
    assert await bench.recommend(INSIDE) == ("v2", ["item-6"])


async def test_another_share_keeps_what_was_counted(bench: Bench) -> None:
    await bench.recommend(OUTSIDE)
    bench.trials.change(replace(CANARY, number=2, share=1.0))
    assert (await bench.recommend(OUTSIDE))[0] == "v2"
    figures = bench.canary.tally.now
    assert (figures.of_trial.num_calls, figures.of_live.num_calls) == (1, 1)


async def test_without_a_live_model_only_the_canarys_users_are_answered(bench: Bench) -> None:
    def not_ready() -> ServingModel:
        raise ModelNotReady("none yet")

    bench.recommender = Recommender(
        not_ready,
        bench.availability,
        bench.histories,
        bench.cache,
        bench.background,
        bench.recorder,
        bench.trials,
    )
    assert (await bench.recommend(INSIDE))[0] == "v2"
    with pytest.raises(ModelNotReady):
        await bench.recommend(OUTSIDE)
