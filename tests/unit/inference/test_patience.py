"""How long a caller waits, and what is done about it."""

import asyncio

import pytest

from services.domain.errors import OutOfTime
from services.inference.patience import ENDLESS, STORES_GIVE_UP_S, Patience


class Timer:
    def __init__(self) -> None:
        self.now_s = 50.0

    def __call__(self) -> float:
        return self.now_s


def test_who_names_no_deadline_is_never_late() -> None:
    timer = Timer()
    for patience in (Patience(None, timer), ENDLESS, Patience(1e9, timer)):
        timer.now_s += 1e8
        patience.check()
        assert not patience.is_half_gone


def test_half_of_the_time_goes_before_all_of_it() -> None:
    timer = Timer()
    patience = Patience(2.0, timer)
    seen = list[bool]()
    for later_s in (0.99, 0.02):
        timer.now_s += later_s
        seen.append(patience.is_half_gone)
    assert seen == [False, True]
    patience.check()
    timer.now_s += 1.0
    with pytest.raises(OutOfTime):
        patience.check()


async def test_what_waits_is_broken_off_when_half_of_the_time_is_gone() -> None:
    with pytest.raises(TimeoutError):
        async with Patience(0.02).half():
            await asyncio.Event().wait()


async def test_a_store_that_gives_up_by_itself_before_is_not_watched() -> None:
    timer = Timer()
    assert not isinstance(Patience(3 * STORES_GIVE_UP_S, timer).half(), asyncio.Timeout)
    assert isinstance(Patience(STORES_GIVE_UP_S, timer).half(), asyncio.Timeout)
