"""What a new model is tried on: a few of the histories that were asked for lately, and none for long."""

import numpy as np
import pytest

from services.domain.errors import BundleBroken
from services.domain.ids import UserId
from services.domain.interactions import UserHistory
from services.inference.recent_histories import EVERY, KEPT, MAX_AGE, RecentHistories, replay
from services.inference.retrieval import Rows, Vector
from services.inference.serving_model import ServingModel
from tests.fakes.clock import FakeClock
from tests.fakes.history_reader import FakeHistoryReader, history_of

ADA, NOBODY = UserId("ada"), UserId("nobody")
HISTORY = history_of("item-1", "item-2", consumed=("item-1",))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recent(clock: FakeClock) -> RecentHistories:
    reader = FakeHistoryReader()
    reader.histories[ADA] = HISTORY
    return RecentHistories(reader, clock)


async def test_it_reads_what_the_reader_reads(recent: RecentHistories) -> None:
    assert await recent.read(ADA) == HISTORY
    assert await recent.read(NOBODY) == UserHistory()
    assert await recent.read_shown(NOBODY) == {}


async def test_some_are_kept_the_first_at_once(recent: RecentHistories) -> None:
    """A quiet worker has something to try a model on, too."""
    for _ in range(EVERY):
        await recent.read(ADA)
    assert recent.histories() == [HISTORY]
    await recent.read(ADA)
    assert recent.histories() == [HISTORY] * 2


async def test_an_empty_history_is_nothing_to_try_on(recent: RecentHistories) -> None:
    await recent.read(NOBODY)
    assert recent.histories() == []


async def test_they_are_bounded(recent: RecentHistories) -> None:
    """Law 9."""
    for _ in range(EVERY * (KEPT + 5)):
        await recent.read(ADA)
    assert len(recent.histories()) == KEPT


async def test_they_are_forgotten_when_they_are_old(recent: RecentHistories, clock: FakeClock) -> None:
    """Law 7: a user who is erased is gone from here, whatever the worker does meanwhile."""
    await recent.read(ADA)
    clock.advance(MAX_AGE.total_seconds())
    recent.forget_old()
    assert recent.histories() == [HISTORY]
    clock.advance(1)
    recent.forget_old()
    assert recent.histories() == []


def test_a_good_model_answers_for_all_of_them(model: ServingModel) -> None:
    replay(model, [HISTORY, UserHistory(), history_of("unknown")])


class BrokenScorer:
    """Fails on histories of two events."""

    def __init__(self, of: ServingModel) -> None:
        self._scorer = of.scorer

    def knows(self, history: object) -> bool:
        return True

    def best(self, history: tuple[np.ndarray, ...], k: int, excluded: Rows) -> tuple[Rows, Vector]:
        if len(history[0]) == 2:
            raise BundleBroken("the encoder gave a number that is not finite")
        return np.empty(0, np.int64), np.empty(0, np.float32)

    def similar(self, item_row: int, k: int, excluded: Rows) -> tuple[Rows, Vector]:
        raise NotImplementedError


def test_a_model_that_fails_on_one_is_refused_and_says_on_how_many(model: ServingModel) -> None:
    """Else its users would get popular items from the flip on."""
    broken = ServingModel(model.manifest, model.vocabulary, model.index, BrokenScorer(model))
    replay(broken, [history_of("item-1")])
    with pytest.raises(BundleBroken, match=r"v1 fails on 2 histories .* not finite"):
        replay(broken, [HISTORY, history_of("item-1"), HISTORY])
