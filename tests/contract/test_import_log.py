"""The ImportLog port: rows in bulk with progress in one step, and which ids each date has."""

from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from services.adapters.delta_log import DeltaEventLog
from services.adapters.delta_log.importing import DeltaImportLog
from services.domain.errors import EventLogMoved
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import Counts, LogBatch, Partition, Progress
from services.ingest.importing.importer import ImportLog
from tests.fakes.import_log import FakeImportLog

DAY_US = 86_400_000_000
PARTITION = Partition("import/abc", 0)

OpenLog = Callable[[Path], ImportLog]
opened = pytest.mark.parametrize("open_log", [lambda _: FakeImportLog(), DeltaImportLog], ids=["fake", "delta"])


def event(name: str, day: int) -> Interaction:
    return Interaction(EventId(name), UserId("ada"), ItemId("book"), "view", day * DAY_US)


def ids_of(log: ImportLog, day: int) -> list[str]:
    ids: list[str] = log.ids_in(log.files_by_day()[day]).to_pylist()
    return sorted(ids)


@opened
def test_a_log_that_does_not_exist_yet_has_no_files(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    assert log.files_by_day() == {}
    assert log.progress([PARTITION]) == {}


@opened
def test_rows_and_progress_are_appended_together(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    log.progress([PARTITION])
    done = Progress(7, Counts(read=7, logged=2, dead=4, duplicate=1), 20_001 * DAY_US)
    log.append_table(log.rows_of([event("a", 20_000), event("b", 20_001)]), {PARTITION: done})
    assert log.progress([PARTITION]) == {PARTITION: done}
    assert {day: ids_of(log, day) for day in log.files_by_day()} == {20_000: ["a"], 20_001: ["b"]}


@opened
def test_the_files_of_a_date_are_those_it_has_now(open_log: OpenLog, tmp_path: Path) -> None:
    log = open_log(tmp_path / "log")
    log.progress([PARTITION])
    log.append_table(log.rows_of([event("a", 20_000)]), {PARTITION: Progress(1, Counts(1, 1))})
    before = set(log.files_by_day()[20_000])
    log.append_table(log.rows_of([event("b", 20_000)]), {PARTITION: Progress(2, Counts(2, 2))})
    added = set(log.files_by_day()[20_000]) - before
    assert log.ids_in(sorted(added)).to_pylist() == ["b"]
    assert ids_of(log, 20_000) == ["a", "b"]


@opened
def test_no_files_have_no_ids(open_log: OpenLog, tmp_path: Path) -> None:
    assert open_log(tmp_path / "log").ids_in([]) == pa.chunked_array([], pa.string())


def test_a_file_that_is_gone_is_passed_over(tmp_path: Path) -> None:
    """Housekeeping replaced it; what took its place is asked for the next time."""
    log = DeltaImportLog(tmp_path / "log")
    log.progress([PARTITION])
    log.append_table(log.rows_of([event("a", 20_000)]), {PARTITION: Progress(1, Counts(1, 1))})
    (name,) = log.files_by_day()[20_000]
    assert log.ids_in([name, "event_date=2024-10-04/gone.parquet"]).to_pylist() == ["a"]


STREAM = Partition("events", 3)


def test_a_writer_learns_of_an_import_before_it_stores_the_same_event(tmp_path: Path) -> None:
    """Its memory of ids is of before; once it has looked again it may go on."""
    writer, importer = DeltaEventLog(tmp_path / "log"), DeltaImportLog(tmp_path / "log")
    writer.progress([STREAM])
    list(writer.recent_ids(DAY_US))
    importer.progress([PARTITION])
    importer.files_by_day()
    importer.append_table(importer.rows_of([event("a", 20_000)]), {PARTITION: Progress(1, Counts(1, 1))})
    with pytest.raises(EventLogMoved):
        writer.append(LogBatch([event("a", 20_000)], {STREAM: Progress(1, Counts(1, 1))}))
    assert [each for ids, _ in writer.recent_ids(DAY_US) for each in ids] == ["a"]
    writer.append(LogBatch([], {STREAM: Progress(1, Counts(read=1, duplicate=1))}))
    assert writer.num_events() == 1


def test_an_import_learns_of_what_a_writer_stored_since_it_looked(tmp_path: Path) -> None:
    writer, importer = DeltaEventLog(tmp_path / "log"), DeltaImportLog(tmp_path / "log")
    for log in (writer, importer):
        log.progress([STREAM, PARTITION])
    writer.append(LogBatch([event("a", 20_000)], {STREAM: Progress(1, Counts(1, 1))}))
    importer.files_by_day()
    writer.append(LogBatch([event("b", 20_000)], {STREAM: Progress(2, Counts(2, 2))}))
    with pytest.raises(EventLogMoved):
        importer.append_table(importer.rows_of([event("b", 20_000)]), {PARTITION: Progress(1, Counts(1, 1))})
    assert ids_of(importer, 20_000) == ["a", "b"]
    importer.append_table(importer.rows_of([]), {PARTITION: Progress(1, Counts(read=1, duplicate=1))})
    assert importer.num_events() == 2


def test_two_imports_at_once_see_each_other(tmp_path: Path) -> None:
    first, second = DeltaImportLog(tmp_path / "log"), DeltaImportLog(tmp_path / "log")
    other = Partition("import/other", 0)
    for log, partition in ((first, PARTITION), (second, other)):
        log.progress([partition])
        log.files_by_day()
    first.append_table(first.rows_of([event("a", 20_000)]), {PARTITION: Progress(1, Counts(1, 1))})
    with pytest.raises(EventLogMoved):
        second.append_table(second.rows_of([event("a", 20_000)]), {other: Progress(1, Counts(1, 1))})
    assert first.num_events() == 1
