"""The memory of seen ids: bounded by a number of ids, the newest by event time stay."""

from services.domain.ids import EventId
from services.ingest.dedupe import SeenEvents

HOUR_US = 3_600_000_000


def test_the_second_time_is_no_first_time() -> None:
    seen = SeenEvents(max_ids=10)
    assert seen.first_time(EventId("a"), 0)
    assert not seen.first_time(EventId("a"), 0)
    assert seen.first_time(EventId("b"), 0)


def test_a_duplicate_far_behind_the_newest_event_is_found() -> None:
    """One partition may be read weeks of event time ahead of another."""
    seen = SeenEvents(max_ids=10)
    seen.first_time(EventId("new"), 5_000 * HOUR_US)
    assert seen.first_time(EventId("late"), 0)
    assert not seen.first_time(EventId("late"), 0)


def test_beyond_its_bound_the_oldest_hours_are_forgotten() -> None:
    seen = SeenEvents(max_ids=10)
    for hour in range(100):
        assert seen.first_time(EventId(str(hour)), hour * HOUR_US)
        assert len(seen) <= 10
    assert not seen.first_time(EventId("99"), 99 * HOUR_US)
    assert seen.first_time(EventId("0"), 0)


def test_a_bound_of_none_remembers_nothing() -> None:
    seen = SeenEvents(max_ids=0)
    assert seen.first_time(EventId("a"), 5)
    assert seen.first_time(EventId("a"), 5)
    assert len(seen) == 0
