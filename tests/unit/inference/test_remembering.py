"""What a worker does with answers it gave before, and when there is no time or no store to make better ones."""

import asyncio
from concurrent.futures import ThreadPoolExecutor

import pytest

from services.domain.errors import FeatureStoreDown, OutOfTime
from services.domain.ids import UserId
from services.domain.interactions import UserHistory
from services.domain.recommendations import ANYBODY, Degraded, Query, Recommendation, Seen, Source
from services.inference.answer_memory import AnswerMemory
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.excluded import Excluded, Rows, Vector
from services.inference.patience import Patience
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.scorers import VectorScorer
from services.inference.serving_model import ServingModel
from services.inference.stages import Stage, listen
from tests.fakes.availability import HIDDEN, snapshot_of
from tests.fakes.clock import FakeClock
from tests.fakes.history_reader import FakeHistoryReader, history_of
from tests.fakes.result_cache import FakeResultCache

ANN = UserId("ann")


class CountingReader(FakeHistoryReader):
    """Counts the trips; `hangs`: none of them comes back."""

    hangs = False
    trips: list[str]

    async def read(self, user_id: UserId) -> UserHistory:
        if self.hangs:
            await asyncio.Event().wait()
        return await super().read(user_id)

    async def read_with_answer(self, user_id: UserId, key: bytes) -> tuple[UserHistory, bytes | None]:
        self.trips.append("history and answer")
        return await super().read_with_answer(user_id, key)

    async def read_version(self, user_id: UserId) -> str:
        self.trips.append("version")
        return await super().read_version(user_id)


class Bench:
    def __init__(self, live: ServingModel) -> None:
        self.live = live
        self.cache = FakeResultCache()
        self.histories = CountingReader(self.cache)
        self.histories.trips = []
        self.histories.histories[ANN] = history_of("item-5")
        self.background, self.recorder, clock = BackgroundTasks(limit=8), Recorder(), FakeClock()
        self.availability = AvailabilitySlot(clock)
        self.availability.replace(EMPTY, None)
        self.memory = AnswerMemory(600)
        self.recommender = Recommender(
            lambda: self.live, self.availability, self.histories, self.cache, self.background, self.recorder,
            memory=self.memory,
        )  # fmt: skip

    async def ask(self, query: Query | None = None, patience: Patience | None = None) -> Recommendation:
        asked = Query(ANN, 3) if query is None else query
        answer = await self.recommender.recommend(asked, *([] if patience is None else [patience]))
        await self.background.drain(timeout_s=5)
        return answer


@pytest.fixture
def bench(model: ServingModel) -> Bench:
    return Bench(model)


@pytest.fixture
def num_encoded(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Lengthens with every answer that the model works out."""
    counted, best = list[int](), VectorScorer.best

    def counting(self: VectorScorer, history: object, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        counted.append(k)
        return best(self, history, k, excluded)  # type: ignore[arg-type]

    monkeypatch.setattr(VectorScorer, "best", counting)
    return counted


async def test_a_question_asked_again_needs_no_more_than_the_version_of_the_history(bench: Bench) -> None:
    first, again = await bench.ask(), await bench.ask()
    assert (again.items, again.cache_hit) == (first.items, True)
    assert bench.histories.trips == ["history and answer", "version"]
    assert await bench.ask() is again, "the same object, so that its bytes are said again"


async def test_a_user_who_did_something_gets_a_new_answer_at_once(bench: Bench) -> None:
    before = await bench.ask()
    bench.histories.histories[ANN] = history_of("item-5", "item-1", "item-1", version="v2")
    after = await bench.ask()
    assert (after.history_version, after.cache_hit) == ("v2", False)
    assert after.items != before.items


async def test_an_answer_of_another_model_is_not_found(bench: Bench, other_model: ServingModel) -> None:
    """Law 3."""
    await bench.ask()
    bench.live = other_model
    assert ((await bench.ask()).model_version, (await bench.ask()).cache_hit) == ("v2", True)


async def test_a_hidden_item_is_not_found_in_what_was_answered_before(bench: Bench) -> None:
    best = (await bench.ask()).items[0].item_id
    bench.availability.replace(snapshot_of(1, **{best.replace("-", "_"): HIDDEN}), None)
    assert best not in [item.item_id for item in (await bench.ask()).items]


async def test_a_hundred_who_ask_the_same_at_once_make_one_computation(bench: Bench, num_encoded: list[int]) -> None:
    answers = await asyncio.gather(*(bench.recommender.recommend(Query(ANN, 3)) for _ in range(100)))
    assert len(num_encoded) == 1
    assert len({answer.items for answer in answers}) == 1
    assert [answer.cache_hit for answer in answers].count(False) == 1


async def test_what_was_shown_is_asked_anew_each_time(bench: Bench) -> None:
    await bench.ask()
    query = Query(ANN, 3, seen=Seen.EXCLUDE_SHOWN)
    first = await bench.ask(query)
    bench.histories.shown[ANN] = {first.items[0].item_id: 1}
    assert first.items[0].item_id not in [item.item_id for item in (await bench.ask(query)).items]


async def test_visitors_without_a_name_do_not_get_one_anothers_answers(bench: Bench) -> None:
    one = Query(ANYBODY, 3, brought=history_of("item-5", version="one"))
    other = Query(ANYBODY, 3, brought=history_of("item-1", version="other"))
    first, second = await bench.ask(one), await bench.ask(other)
    assert first.items != second.items
    assert ((await bench.ask(one)).items, (await bench.ask(one)).cache_hit) == (first.items, True)


async def test_the_ladder_while_the_store_is_away(bench: Bench) -> None:
    """Law 6: fresh, else what was answered before, else the history that the request brings, else popular."""
    fresh = await bench.ask()
    bench.histories.is_down = True
    kept = await bench.ask()
    assert (kept.items, kept.source, kept.degraded) == (fresh.items, Source.MODEL, Degraded.FEATURE_STORE_DOWN)
    brought = await bench.ask(Query(ANN, 2, brought=history_of("item-1", version="brought")))
    assert (brought.source, brought.history_version) == (Source.MODEL, "brought")
    popular = await bench.ask(Query(ANN, 2))
    assert (popular.source, popular.degraded) == (Source.POPULAR, Degraded.FEATURE_STORE_DOWN)
    bench.histories.is_down = False
    assert (await bench.ask()).degraded is Degraded.NONE
    assert (await bench.ask(Query(ANN, 2))).source is Source.MODEL


@pytest.mark.parametrize("was_asked", [True, False], ids=["answered before", "never asked"])
async def test_a_store_that_takes_half_of_the_time_leaves_the_other_half_for_an_answer(
    bench: Bench, was_asked: bool
) -> None:
    if was_asked:
        await bench.ask()
    bench.histories.read_version = bench.histories.read_with_answer = _never  # type: ignore[method-assign, assignment]
    answer = await bench.ask(patience=Patience(0.1))
    assert answer.degraded is Degraded.LATE
    assert answer.source is (Source.MODEL if was_asked else Source.POPULAR)


async def _never(*_: object) -> None:
    await asyncio.Event().wait()


async def test_a_request_that_waited_for_too_long_gets_what_costs_nothing(bench: Bench, num_encoded: list[int]) -> None:
    """Before half of its time is over it is answered in full, after that simply, and after all of it not at all."""
    now = [0.0]

    class Slow(CountingReader):
        async def read(self, user_id: UserId) -> UserHistory:
            now[0] += 6
            return history_of("item-5")

    async def asked(seconds: float) -> Recommendation:
        bench.recommender = Recommender(
            lambda: bench.live, bench.availability, slow, bench.cache, bench.background, bench.recorder
        )
        return await bench.ask(patience=Patience(seconds, lambda: now[0]))

    slow = Slow()
    slow.trips = []
    simple = await asked(10)
    assert (simple.source, simple.degraded, num_encoded) == (Source.POPULAR, Degraded.LATE, [])
    with pytest.raises(OutOfTime):
        await asked(5.5)
    assert num_encoded == []
    assert (await asked(20)).degraded is Degraded.NONE


async def test_each_stage_of_an_answer_is_timed_and_an_answer_ahead_is_not(bench: Bench) -> None:
    stages = listen()
    await bench.ask()
    assert list(stages.taken_s) == [Stage.STORE, Stage.ENCODE, Stage.CANDIDATES, Stage.REPLY]
    assert all(seconds >= 0 for seconds in stages.taken_s.values())
    assert stages.told().startswith("store;dur=")
    before = dict(stages.taken_s)
    history = bench.live.history_rows(history_of("item-5").entries)
    with ThreadPoolExecutor(1) as thread:  # where models are tried: no call's context
        thread.submit(bench.live.scorer.best, history, 1, Excluded(bench.live.known_rows([]))).result()
    assert stages.taken_s == before


async def test_a_reader_that_fails_for_the_version_alone_is_no_failed_request(bench: Bench) -> None:
    fresh = await bench.ask()

    async def fails(user_id: UserId) -> str:
        raise FeatureStoreDown("gone")

    bench.histories.read_version = fails  # type: ignore[method-assign]
    again = await bench.ask()
    assert (again.items, again.degraded) == (fresh.items, Degraded.FEATURE_STORE_DOWN)
