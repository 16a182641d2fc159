"""The memory of seen ids: bounded by a window of event time."""

from services.domain.ids import EventId
from services.ingest.dedupe import SeenEvents

HOUR_US = 3_600_000_000


def test_the_second_time_is_no_first_time() -> None:
    seen = SeenEvents(window_us=HOUR_US)
    assert seen.first_time(EventId("a"), 0)
    assert not seen.first_time(EventId("a"), 0)
    assert seen.first_time(EventId("b"), 0)


def test_what_falls_behind_the_window_is_forgotten() -> None:
    seen = SeenEvents(window_us=HOUR_US)
    for hour in range(100):
        assert seen.first_time(EventId(str(hour)), hour * HOUR_US)
    assert len(seen) <= 3


def test_an_event_too_late_to_be_remembered_is_kept_rather_than_lost() -> None:
    seen = SeenEvents(window_us=HOUR_US)
    seen.first_time(EventId("new"), 100 * HOUR_US)
    assert seen.first_time(EventId("late"), 0)
    assert seen.first_time(EventId("late"), 0)
    assert len(seen) == 1


def test_no_window_remembers_nothing() -> None:
    seen = SeenEvents(window_us=0)
    assert seen.first_time(EventId("a"), 5)
    assert seen.first_time(EventId("a"), 5)
    assert len(seen) == 0
