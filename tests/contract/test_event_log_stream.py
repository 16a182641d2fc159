"""The EventLog port's unordered side: every selected event of a pinned version once, and its newest time."""

import tempfile
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest
from deltalake import write_deltalake
from hypothesis import given, settings
from hypothesis import strategies as st

from services.adapters.delta_log import DeltaEventLog, streaming
from services.adapters.delta_log.rows import SCHEMA
from services.domain.errors import EventLogDown, UnknownVersion
from services.domain.event_columns import EventColumns
from services.domain.event_selection import EVERYTHING, Selection
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.ports import EventLog
from services.domain.streams import LogBatch
from tests.fakes.event_log import FakeEventLog

HOUR_US = 3_600_000_000
START_US = 20_000 * 24 * HOUR_US

OpenLog = Callable[[Path], EventLog]
opened = pytest.mark.parametrize("open_log", [lambda _: FakeEventLog(), DeltaEventLog], ids=["fake", "delta"])
TIMES_US = st.integers(0, 80).map(lambda hour: START_US + hour * HOUR_US)
ROWS = st.lists(
    st.tuples(TIMES_US, st.sampled_from(["view", "rating"]), st.sampled_from(["ada", "bob"]), st.none() | st.just(2.5)),
    max_size=25,
)
Row = tuple[str, str, str, int, str]


def streamed(log: EventLog, version: int, selection: Selection = EVERYTHING) -> Counter[Row]:
    return Counter(row for events in log.stream(version, selection) for row in rows_of(events))


def rows_of(events: EventColumns) -> list[Row]:
    words = (events.users.spelled(), events.items.spelled(), events.event_types.spelled())
    return list(zip(*words, events.event_times_us.tolist(), map(str, events.values.tolist()), strict=True))


def as_row(event: Interaction) -> Row:
    value = "nan" if event.value is None else str(event.value)
    return event.user_id, event.item_id, event.event_type, event.event_time_us, value


@opened
@settings(max_examples=40, deadline=None)
@given(
    batches=st.lists(ROWS, max_size=3),
    pinned=st.integers(0, 2),
    since_us=st.none() | TIMES_US,
    until_us=st.none() | TIMES_US,
    event_types=st.none() | st.frozensets(st.sampled_from(["view", "rating", "like"])),
)
def test_a_stream_has_every_selected_event_once_and_the_newest_time_is_brute_forces(
    open_log: OpenLog,
    batches: list[list[tuple[int, str, str, float | None]]],
    pinned: int,
    since_us: int | None,
    until_us: int | None,
    event_types: frozenset[str] | None,
) -> None:
    """Law 8 as well: nothing at or after `until`, and nothing that was appended after the pinned version."""
    with tempfile.TemporaryDirectory() as folder:
        log, rows, version = open_log(Path(folder) / "log"), list[Interaction](), -1
        for number, batch in enumerate(batches):
            appended = [
                Interaction(EventId(f"{number}-{place}"), UserId(user), ItemId("book"), kind, time_us, value)
                for place, (time_us, kind, user, value) in enumerate(batch)
            ]
            newest = log.append(LogBatch(appended))
            if number <= pinned:
                rows, version = rows + appended, newest
        before = [row for row in rows if until_us is None or row.event_time_us < until_us]
        selected = [
            row
            for row in before
            if (since_us is None or row.event_time_us >= since_us)
            and (event_types is None or row.event_type in event_types)
        ]
        asked = Selection(since_us=since_us, until_us=until_us, event_types=event_types)
        assert streamed(log, version, asked) == Counter(map(as_row, selected))
        assert log.newest_time_us(version, until_us) == max((row.event_time_us for row in before), default=None)


@opened
def test_a_version_that_never_was_is_unknown_to_both(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    version = log.append(LogBatch([Interaction(EventId("a"), UserId("ada"), ItemId("book"), "view", START_US)]))
    with pytest.raises(UnknownVersion):
        streamed(log, version + 1)
    with pytest.raises(UnknownVersion):
        log.newest_time_us(version + 1)


def test_words_that_another_writer_left_out_are_empty(tmp_path: Path) -> None:
    """Nothing of ours writes a null there, but the table is open to all."""
    row = {"event_date": START_US // (24 * HOUR_US), "event_time": START_US, "event_id": "a", "event_type": "view"}
    table = pa.table({name: pa.array([row.get(name)]) for name in SCHEMA.names})
    table = table.set_column(0, "event_date", table["event_date"].cast(pa.int32()))
    write_deltalake(tmp_path / "log", table.cast(SCHEMA), partition_by=["event_date"])
    log = DeltaEventLog(tmp_path / "log")
    assert list(streamed(log, log.version())) == [("", "", "view", START_US, "nan")]


def test_a_large_file_comes_in_bounded_batches(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 9: what is held does not grow with a file."""
    monkeypatch.setattr(streaming, "BATCH_ROWS", 100)
    log = DeltaEventLog(tmp_path / "log")
    rows = [Interaction(EventId(str(n)), UserId("ada"), ItemId("book"), "view", START_US + n) for n in range(1_000)]
    version = log.append(LogBatch(rows))
    sizes = [len(events) for events in log.stream(version)]
    assert max(sizes) <= 100
    assert sum(sizes) == len(rows)


def test_a_file_that_is_gone_is_the_logs_failure(tmp_path: Path) -> None:
    log = DeltaEventLog(tmp_path / "log")
    version = log.append(LogBatch([Interaction(EventId("a"), UserId("ada"), ItemId("book"), "view", START_US)]))
    for file in (tmp_path / "log").rglob("*.parquet"):
        file.unlink()
    with pytest.raises(EventLogDown):
        streamed(log, version)
    with pytest.raises(EventLogDown):
        log.newest_time_us(version)
