"""Who asked for what lately: the newest, each once, and none for long."""

import pytest

from services.domain.ids import UserId
from services.inference.recent_requests import KEPT, MAX_AGE, RecentRequests, Request
from tests.fakes.clock import FakeClock

ANN, BEN = UserId("ann"), UserId("ben")


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def recent(clock: FakeClock) -> RecentRequests:
    return RecentRequests(clock)


def test_each_is_kept_once_the_newest_first(recent: RecentRequests) -> None:
    for user_id, k in ((ANN, 10), (BEN, 10), (ANN, 20), (ANN, 10)):
        recent.note(user_id, k)
    assert recent.newest() == [Request(ANN, 10), Request(ANN, 20), Request(BEN, 10)]


def test_before_the_first_there_are_none(recent: RecentRequests) -> None:
    assert (recent.newest(), bool(recent)) == ([], False)


def test_they_are_bounded(recent: RecentRequests) -> None:
    """Law 9."""
    for number in range(KEPT + 5):
        recent.note(UserId(f"user-{number}"), 10)
    assert len(recent) == KEPT
    assert recent.newest()[-1].user_id == "user-5", "the oldest went"


def test_they_are_forgotten_when_they_are_old(recent: RecentRequests, clock: FakeClock) -> None:
    """Law 7: a user who is erased is gone from here, whatever the worker does meanwhile."""
    recent.note(ANN, 10)
    clock.advance(MAX_AGE.total_seconds())
    recent.note(BEN, 10)
    recent.forget_old()
    assert len(recent) == 2
    clock.advance(1)
    recent.forget_old()
    assert recent.newest() == [Request(BEN, 10)]
