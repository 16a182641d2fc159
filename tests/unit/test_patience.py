"""A step is done again while the database is away, with growing pauses, for a bounded time, until asked to stop."""

from collections.abc import Callable

import pytest

from services.domain.errors import CatalogDown, UnknownVersion
from services.patience import GIVE_UP, LONGEST_PAUSE_S, Patience
from tests.fakes.clock import FakeClock


class Outage:
    """A step that raises CatalogDown until a moment, and a pause that lets the fake clock go on."""

    def __init__(self, length_s: float, stopped: Callable[[], bool] = lambda: False) -> None:
        self.clock = FakeClock()
        self._start = self.clock.now()
        self._length_s = length_s
        self._stopped = stopped
        self.pauses: list[float] = []

    def elapsed_s(self) -> float:
        return (self.clock.now() - self._start).total_seconds()

    def step(self) -> str:
        if self.elapsed_s() < self._length_s:
            raise CatalogDown("away")
        return "done"

    def pause(self, seconds: float) -> bool:
        self.pauses.append(seconds)
        self.clock.advance(seconds)
        return self._stopped()

    def outlast(self) -> str:
        return Patience(self.clock, self.pause).outlast(self.step)


def test_what_works_at_once_waits_for_nothing() -> None:
    outage = Outage(0)
    assert outage.outlast() == "done"
    assert outage.pauses == []


def test_an_outage_of_ten_minutes_is_outlasted_with_pauses_that_grow_and_stay_bounded() -> None:
    outage = Outage(600)
    assert outage.outlast() == "done"
    assert outage.pauses[:4] == [1, 2, 4, 8]
    assert max(outage.pauses) == LONGEST_PAUSE_S
    assert outage.elapsed_s() < 600 + LONGEST_PAUSE_S


def test_a_database_that_stays_away_is_said_in_the_end() -> None:
    outage = Outage(1e9)
    with pytest.raises(CatalogDown):
        outage.outlast()
    assert 0 <= outage.elapsed_s() - GIVE_UP.total_seconds() < LONGEST_PAUSE_S


def test_a_process_that_is_asked_to_stop_waits_no_longer() -> None:
    outage = Outage(600, stopped=lambda: True)
    with pytest.raises(CatalogDown):
        outage.outlast()
    assert outage.pauses == [1]


def test_another_error_is_not_tried_again() -> None:
    outage = Outage(600)

    def step() -> str:
        raise UnknownVersion("no such version")

    with pytest.raises(UnknownVersion):
        Patience(outage.clock, outage.pause).outlast(step)
    assert outage.pauses == []
