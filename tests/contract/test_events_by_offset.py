"""The EventsByOffset port: a pinned log in the order of its topic."""

from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from services.adapters.delta_log import DeltaEventLog, by_offset
from services.domain.event_selection import LoggedEvents
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.ports import EventsByOffset
from services.domain.streams import Counts, LogBatch, Partition, Progress
from tests.fakes.events_by_offset import FakeEventsByOffset

FIRST, SECOND = Partition("events", 0), Partition("events", 1)
DAY_US = 86_400_000_000


class Log:
    """A log, and the way to append to it."""

    def __init__(self, append: Callable[[LogBatch], int], by_offset: EventsByOffset) -> None:
        self._append = append
        self.by_offset = by_offset

    def append(self, offsets: Sequence[int], partition: Partition = FIRST, next_offset: int | None = None) -> int:
        """Events named by their offsets, each on a day of its own so that the log's own order is another."""
        events = [event(f"{partition.number}-{offset}", 30_000 - offset) for offset in offsets]
        progress = {partition: Progress(next_offset or offsets[-1] + 1, Counts())}
        return self._append(LogBatch(events, progress, [(partition, offsets)]))

    def add_imported(self, *names: str) -> int:
        return self.add([event(name, 20_000) for name in names])

    def add(self, events: Sequence[Interaction]) -> int:
        return self._append(LogBatch(events))


@pytest.fixture(params=["fake", "delta"])
def log(request: pytest.FixtureRequest, tmp_path: Path) -> Log:
    if request.param == "delta":
        return Log(DeltaEventLog(tmp_path / "log").append, by_offset.DeltaEventsByOffset(tmp_path / "log"))
    fake = FakeEventsByOffset()
    return Log(fake.append, fake)


def event(name: str, day: int, user: str = "ada") -> Interaction:
    return Interaction(EventId(name), UserId(user), ItemId("book"), "view", day * DAY_US, surface="home")


def ids(read: object) -> list[str]:
    assert hasattr(read, "__iter__")
    return [each.event_id for events in read for each in _events(events).interactions]


def _events(events: LoggedEvents) -> LoggedEvents:
    assert len(events.interactions) == len(events.sources) > 0
    return events


def test_a_log_that_does_not_exist_yet_has_no_events(log: Log) -> None:
    assert (log.by_offset.version(), log.by_offset.num_events(-1)) == (-1, 0)


def test_a_partition_is_read_in_the_order_of_its_offsets_within_a_range(log: Log) -> None:
    log.append([0, 1, 5])
    log.append([2, 3], SECOND)
    version = log.append([7, 8, 9], next_offset=12)
    assert log.by_offset.num_events(version) == 8
    assert log.by_offset.next_offsets(version, "events") == {FIRST: 12, SECOND: 4}
    assert ids(log.by_offset.read(version, FIRST, 0, 12)) == [f"0-{n}" for n in (0, 1, 5, 7, 8, 9)]
    assert ids(log.by_offset.read(version, FIRST, 1, 8)) == ["0-1", "0-5", "0-7"]
    assert ids(log.by_offset.read(version, SECOND, 0, 4)) == ["1-2", "1-3"]
    (events,) = log.by_offset.read(version, SECOND, 3, 4)
    assert events.sources == [(SECOND, 3)]
    assert events.interactions == [event("1-3", 30_000 - 3)]


def test_a_pinned_version_knows_nothing_of_later_ones(log: Log) -> None:
    pinned = log.append([0])
    log.append([1])
    assert log.by_offset.num_events(pinned) == 1
    assert log.by_offset.next_offsets(pinned, "events") == {FIRST: 1}
    assert ids(log.by_offset.read(pinned, FIRST, 0, 100)) == ["0-0"]


def test_another_topic_has_no_offsets(log: Log) -> None:
    assert log.by_offset.next_offsets(log.append([0]), "other") == {}


def test_who_did_anything_since_a_moment_is_told_from_who_did_not(log: Log) -> None:
    """To the microsecond, whatever the date, and of the pinned version alone."""
    log.add([event("1", 10, user="gone"), event("2", 20, user="stays"), event("3", 30, user="stays")])
    pinned = log.add([event("4", 20, user="both"), event("5", 10, user="both")])
    log.add([event("6", 40, user="later")])
    assert log.by_offset.users_since(pinned, 20 * DAY_US) == {"stays", "both"}
    assert log.by_offset.users_since(pinned, 20 * DAY_US + 1) == {"stays"}
    assert log.by_offset.users_since(pinned, 31 * DAY_US) == set()


def test_imported_events_are_apart_and_in_the_same_order_each_time(log: Log) -> None:
    log.append([0])
    version = log.add_imported("a", "b", "c")
    assert ids(log.by_offset.read(version, FIRST, 0, 100)) == ["0-0"]
    first = ids(log.by_offset.read_others(version, "events"))
    assert sorted(first) == ["a", "b", "c"]
    assert ids(log.by_offset.read_others(version, "events")) == first


def test_a_topic_that_was_read_before_is_told_from_this_one(log: Log) -> None:
    """The same partition number and the same offsets: its events count like those of a file."""
    log.append([0, 1], Partition("old", 0))
    version = log.append([1, 2])
    assert log.by_offset.next_offsets(version, "events") == {FIRST: 3}
    (events,) = log.by_offset.read(version, FIRST, 0, 100)
    assert events.sources == [(FIRST, 1), (FIRST, 2)]
    others = [source for events in log.by_offset.read_others(version, "events") for source in events.sources]
    assert set(others) == {(Partition("old", 0), 0), (Partition("old", 0), 1)}


def test_more_rows_than_are_sorted_at_a_time_are_read_in_order(log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
    """Memory is bounded by ranges of offsets, not by the partition."""
    monkeypatch.setattr(by_offset, "_SORT_ROWS", 10)
    monkeypatch.setattr(by_offset, "_STEP", 4)
    log.append(list(range(0, 60, 2)))
    version = log.append(list(range(61, 100)))
    read = ids(log.by_offset.read(version, FIRST, 0, 100))
    assert read == [f"0-{n}" for n in [*range(0, 60, 2), *range(61, 100)]]
