"""The Arrow view of the log: projection, order, and how much of it is held at a time."""

import tracemalloc
from collections.abc import Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pytest

from services.adapters.delta_log import DeltaEventLog, reading
from services.adapters.delta_log.rows import SCHEMA
from services.domain.errors import EventLogDown
from services.domain.event_selection import Selection
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import LogBatch

DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US
NUM_DAYS, PER_DAY = 8, 500


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Eight days of 500 events each, appended out of order in two commits."""
    folder = tmp_path_factory.mktemp("log") / "events"
    log = DeltaEventLog(folder)
    rows = [
        Interaction(EventId(f"e{day}-{n}"), UserId(f"u{n % 50}"), ItemId("book"), "view", START_US + day * DAY_US + n)
        for day in range(NUM_DAYS)
        for n in range(PER_DAY)
    ]
    log.append(LogBatch(rows[1::2]))
    log.append(LogBatch(rows[::2]))
    return folder


def newest(folder: Path) -> int:
    return DeltaEventLog(folder).version()


def test_only_the_columns_asked_for_come_in_the_order_asked_for(folder: Path) -> None:
    table = reading.scan(folder, newest(folder), columns=["value", "user_id"]).read_all()
    assert table.schema == pa.schema([SCHEMA.field("value"), SCHEMA.field("user_id")])
    assert len(table) == NUM_DAYS * PER_DAY


def test_the_parts_are_in_order_one_after_the_other(folder: Path) -> None:
    table = reading.scan(folder, newest(folder), columns=["event_time", "event_id"], sort_rows=PER_DAY).read_all()
    assert table.equals(table.sort_by([("event_time", "ascending"), ("event_id", "ascending")]))


@pytest.mark.parametrize(("sort_rows", "num_parts"), [(10_000, 1), (3 * PER_DAY, 3), (PER_DAY, NUM_DAYS)])
def test_whole_dates_are_read_together_up_to_the_bound(folder: Path, sort_rows: int, num_parts: int) -> None:
    """Law 9: what a scan holds does not grow with the log."""
    sizes = [len(batch) for batch in reading.scan(folder, newest(folder), columns=["user_id"], sort_rows=sort_rows)]
    assert len(sizes) == num_parts
    assert max(sizes) <= sort_rows
    assert sum(sizes) == NUM_DAYS * PER_DAY


def test_a_date_with_more_than_the_bound_is_read_in_slices_of_time(folder: Path) -> None:
    batches = list(reading.scan(folder, newest(folder), columns=["event_time"], sort_rows=100))
    assert max(len(batch) for batch in batches) <= 100
    times = pa.chunked_array([batch["event_time"] for batch in batches])
    assert len(times) == NUM_DAYS * PER_DAY
    assert pc.all(pc.equal(times, times.take(pc.sort_indices(times)))).as_py()


def test_a_scan_holds_one_part_at_a_time(folder: Path) -> None:
    """Arrow's own memory at its highest while a log of eight dates is walked, against that of one date."""

    def peak(batches: Iterator[pa.RecordBatch]) -> int:
        highest = 0
        for _ in batches:
            highest = max(highest, pa.total_allocated_bytes() - before)
        return highest

    version, before = newest(folder), pa.total_allocated_bytes()
    one = peak(reading.scan(folder, version, Selection(until_us=START_US + DAY_US), sort_rows=PER_DAY))
    eight = peak(reading.scan(folder, version, sort_rows=PER_DAY))
    assert 0 < eight < 3 * one


def test_python_objects_are_made_a_bounded_number_at_a_time(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.adapters.delta_log.log.BATCH_ROWS", 100)
    log, version = DeltaEventLog(folder), newest(folder)
    tracemalloc.start()
    try:
        assert max(len(events.interactions) for events in log.scan(version)) == 100
        streamed = tracemalloc.get_traced_memory()[1]
        tracemalloc.reset_peak()
        everything = [events for events in log.scan(version)]  # noqa: C416 - held on purpose
        assert streamed < tracemalloc.get_traced_memory()[1] / 2
    finally:
        tracemalloc.stop()
    assert len(everything) == NUM_DAYS * PER_DAY // 100


def test_files_of_dates_outside_the_range_are_not_opened(folder: Path, tmp_path: Path) -> None:
    """Pruning by date: with every other date's files gone, the date asked for still reads."""
    copy = tmp_path / "log"
    log = DeltaEventLog(copy)
    version = log.append(
        LogBatch(
            [Interaction(EventId(str(d)), UserId("u"), ItemId("b"), "view", START_US + d * DAY_US) for d in range(3)]
        )
    )
    kept = copy / "event_date=2024-10-05"
    for parquet in copy.glob("event_date=*/*.parquet"):
        if parquet.parent != kept:
            parquet.unlink()
    middle = Selection(since_us=START_US + DAY_US, until_us=START_US + 2 * DAY_US)
    assert len(reading.scan(copy, version, middle).read_all()) == 1
    with pytest.raises(EventLogDown):
        reading.scan(copy, version).read_all()


def test_dates_with_much_in_their_rows_are_read_in_parts_by_their_bytes(folder: Path) -> None:
    """Law 9: two million rows of 30 bytes fit in memory, two million of 10 KB do not."""
    version = newest(folder)
    everything = reading.scan(folder, version, columns=["event_id"]).read_all()
    of_a_date = sum(path.stat().st_size for path in folder.glob("event_date=2024-10-04/*.parquet"))
    dates = list(reading.scan(folder, version, columns=["event_id"], sort_bytes=of_a_date * 3 // 2))
    slices = list(reading.scan(folder, version, columns=["event_id"], sort_bytes=of_a_date // 5))
    assert [len(batch) for batch in dates] == [PER_DAY] * NUM_DAYS
    assert max(len(batch) for batch in slices) <= PER_DAY // 5
    assert pa.Table.from_batches(dates).equals(everything)
    assert pa.Table.from_batches(slices).equals(everything)


def test_events_that_cannot_be_put_in_order_are_a_typed_error(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As when their texts are more than Arrow holds in one column."""

    def overflow(*_: object) -> pa.Array:
        raise pa.ArrowInvalid("offset overflow")

    monkeypatch.setattr("services.adapters.delta_log.reading._positions", overflow)
    with pytest.raises(EventLogDown, match="4000 events of the log cannot be put in order"):
        reading.scan(folder, newest(folder)).read_all()
