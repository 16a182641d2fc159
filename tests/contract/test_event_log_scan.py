"""The EventLog port's read side: selections of a pinned version, in time order, equal to brute force over its rows."""

import tempfile
from collections.abc import Callable
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.adapters.delta_log import DeltaEventLog
from services.domain.errors import UnknownVersion
from services.domain.event_selection import EVERYTHING, Selection
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.ports import EventLog
from services.domain.streams import LogBatch, Partition
from tests.fakes.event_log import FakeEventLog

HOUR_US = 3_600_000_000
DAY_US = 24 * HOUR_US
START_US = 20_000 * DAY_US

OpenLog = Callable[[Path], EventLog]
opened = pytest.mark.parametrize("open_log", [lambda _: FakeEventLog(), DeltaEventLog], ids=["fake", "delta"])

# Few enough values that ties, dates with nothing and selections of nothing all happen.
TIMES_US = st.integers(0, 80).map(lambda hour: START_US + hour * HOUR_US)
ROWS = st.lists(st.tuples(TIMES_US, st.sampled_from(["view", "click"]), st.sampled_from(["ada", "bob"])), max_size=25)
SELECTIONS = st.builds(
    Selection,
    since_us=st.none() | TIMES_US,
    until_us=st.none() | TIMES_US,
    event_types=st.none() | st.frozensets(st.sampled_from(["view", "click", "like"])),
    user_ids=st.none() | st.frozensets(st.sampled_from([UserId("ada"), UserId("bob")])),
)


def scanned(log: EventLog, version: int, selection: Selection = EVERYTHING) -> list[Interaction]:
    return [row for events in log.scan(version, selection) for row in events.interactions]


def as_asked(row: Interaction, asked: Selection) -> bool:
    return (
        (asked.since_us is None or row.event_time_us >= asked.since_us)
        and (asked.until_us is None or row.event_time_us < asked.until_us)
        and (asked.event_types is None or row.event_type in asked.event_types)
        and (asked.user_ids is None or row.user_id in asked.user_ids)
    )


@opened
@settings(max_examples=40, deadline=None)
@given(batches=st.lists(ROWS, max_size=3), pinned=st.integers(0, 2), selection=SELECTIONS)
def test_a_scan_is_what_brute_force_finds_in_time_order(
    open_log: OpenLog,
    batches: list[list[tuple[int, str, str]]],
    pinned: int,
    selection: Selection,
) -> None:
    """Law 8 as well: nothing at or after `until`, and nothing that was appended after the pinned version."""
    with tempfile.TemporaryDirectory() as folder:
        log, rows, version = open_log(Path(folder) / "log"), list[Interaction](), -1
        for number, batch in enumerate(batches):
            appended = [
                Interaction(EventId(f"{number}-{place}"), UserId(user), ItemId("book"), kind, time_us)
                for place, (time_us, kind, user) in enumerate(batch)
            ]
            newest = log.append(LogBatch(appended))
            if number <= pinned:
                rows, version = rows + appended, newest
        expected = sorted(
            (row for row in rows if as_asked(row, selection)), key=lambda r: (r.event_time_us, r.event_id)
        )
        assert scanned(log, version, selection) == expected


@opened
def test_a_scan_gives_back_every_field_and_where_the_event_came_from(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    full = Interaction(
        EventId("a"), UserId("ada"), ItemId("book"), "rating", START_US + 1, 4.5, "session", "request", 3, "home",
        {"k": "v", "z": ""}, '{"colour":1}',
    )  # fmt: skip
    bare = Interaction(EventId("b"), UserId("ada"), ItemId("book"), "view", START_US + 2)
    log.append(LogBatch([full], sources=[(Partition("events", 2), [17])]))
    log.append(LogBatch([bare]))
    (events,) = [each for each in log.scan(log.version()) if each.interactions]
    assert list(events.interactions) == [full, bare]
    assert list(events.sources) == [(Partition("events", 2), 17), None]


@opened
def test_the_log_that_does_not_exist_yet_has_no_events(open_log: OpenLog, tmp_path: Path) -> None:
    assert scanned(open_log(tmp_path / "log"), -1) == []


@opened
def test_a_version_that_never_was_is_unknown(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    version = log.append(LogBatch([Interaction(EventId("a"), UserId("ada"), ItemId("book"), "view", START_US)]))
    with pytest.raises(UnknownVersion):
        scanned(log, version + 1)
    with pytest.raises(UnknownVersion):
        log.read(version + 1)
