"""An import: every row ends in the log, as a bad row or a counted duplicate, once, however often it was broken off."""

import json
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.domain.errors import InvalidRequest
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.streams import Counts, Partition, Progress
from services.ingest.codec import Limits
from services.ingest.importing.bad_rows import BadRowReport
from services.ingest.importing.importer import Import, ImportLog, partition_of
from services.ingest.importing.known_ids import KnownIds
from services.ingest.importing.mapping import Columns
from services.ingest.importing.sources import open_source
from tests.fakes.clock import FakeClock
from tests.fakes.import_log import FakeImportLog

NOW = datetime(2026, 1, 31, tzinfo=UTC)


def row(name: str, minute: int = 0, **others: Any) -> dict[str, Any]:
    time = f"2026-01-{1 + minute // 1440:02}T{minute // 60 % 24:02}:{minute % 60:02}:00Z"
    return {"event_id": name, "user_id": "ada", "item_id": "book", "type": "view", "event_time": time} | others


def written(path: Path, rows: list[dict[str, Any]]) -> Path:
    path.write_text("".join(json.dumps(each) + "\n" for each in rows), encoding="utf-8")
    return path


def an_import(path: Path, log: ImportLog, **options: Any) -> Import:
    source = open_source(path, "jsonl")
    columns = Columns.of_file(source.schema.names, {}, options.pop("constants", {}))
    return Import(
        source,
        columns,
        partition_of(path, columns, "jsonl"),
        log,
        BadRowReport(path.with_suffix(".bad")),
        DEFAULT_EVENT_TYPES,
        Limits(65_536, 86_400_000_000),
        FakeClock(NOW),
        **({"commit_rows": 4} | options),
    )


def logged(log: FakeImportLog) -> list[str]:
    return [name for table in log.tables for name in table["event_id"].to_pylist()]


def reported(path: Path) -> list[tuple[int, str]]:
    bad = path.with_suffix(".bad")
    lines = bad.read_text(encoding="utf-8").splitlines() if bad.exists() else []
    return [(line["row"], line["reason"]) for line in map(json.loads, lines)]


MIXED = [
    row("a"),
    row("b", 1),
    row("", 2),
    row("a"),
    row("c", 3, type="wink"),
    row("d", 1500),
    row("b", 1),
    row("e", value="much"),
    row("f", value="3.5"),
    row("g", event_time="2036-01-01T00:00:00Z"),
]
MIXED_IDS = ["a", "b", "d", "f"]
MIXED_BAD = [(3, "invalid_field"), (5, "unknown_type"), (8, "malformed"), (10, "future_time")]


@pytest.mark.parametrize("commit_rows", [1, 3, 100])
def test_every_row_is_logged_or_reported_or_counted_as_duplicate(commit_rows: int, tmp_path: Path) -> None:
    """Law 1, in whatever pieces the file is read."""
    path, log = written(tmp_path / "f.jsonl", MIXED), FakeImportLog()
    counts = an_import(path, log, commit_rows=commit_rows).run()
    assert counts == Counts(read=10, logged=4, dead=4, duplicate=2)
    assert sorted(logged(log)) == MIXED_IDS
    assert reported(path) == MIXED_BAD


def test_the_same_file_again_changes_nothing(tmp_path: Path) -> None:
    path, log = written(tmp_path / "f.jsonl", MIXED), FakeImportLog()
    counts = an_import(path, log).run()
    num_commits = len(log.tables)
    copy = written(tmp_path / "copy.jsonl", MIXED)
    assert an_import(copy, log).run() == counts
    assert len(log.tables) == num_commits


def test_a_longer_edition_of_a_file_adds_only_what_is_new(tmp_path: Path) -> None:
    """Also without ids: the same content has the same id, in whichever file and place it stands."""
    rows = [{name: value for name, value in row("", n).items() if name != "event_id"} for n in range(6)]
    log = FakeImportLog()
    an_import(written(tmp_path / "one.jsonl", rows[:4]), log).run()
    counts = an_import(written(tmp_path / "two.jsonl", rows[::-1]), log).run()
    assert counts == Counts(read=6, logged=2, duplicate=4)
    assert len(set(logged(log))) == 6


def test_events_that_came_over_the_stream_are_duplicates(tmp_path: Path) -> None:
    """Also those that were logged while the import was running."""
    path, log = written(tmp_path / "f.jsonl", [row(str(n), n) for n in range(8)]), FakeImportLog()
    stream = {name: an_import(written(tmp_path / name, [row(name, int(name))]), log) for name in ("2", "6")}
    stream["2"].run()

    def meanwhile(counts: Counts) -> None:
        if counts.read == 4:
            stream["6"].run()

    counts = an_import(path, log, on_progress=meanwhile).run()
    assert counts == Counts(read=8, logged=6, duplicate=2)
    assert sorted(logged(log)) == [str(n) for n in range(8)]


@pytest.mark.parametrize("broken_after", range(4))
@pytest.mark.parametrize("committed", [False, True])
def test_an_import_that_was_broken_off_goes_on_where_the_log_is(
    broken_after: int, committed: bool, tmp_path: Path
) -> None:
    """The bad rows are reported before the commit: a crash in between must not report them twice."""

    class BreakingLog(FakeImportLog):
        breaks = True

        def append_table(self, rows: pa.Table, progress: Mapping[Partition, Progress]) -> int:
            if self.breaks and len(self.tables) == broken_after and not committed:
                raise ConnectionAbortedError
            version = super().append_table(rows, progress)
            if self.breaks and version == broken_after:
                raise ConnectionAbortedError
            return version

    path, log = written(tmp_path / "f.jsonl", MIXED), BreakingLog()
    with pytest.raises(ConnectionAbortedError):
        an_import(path, log, commit_rows=2).run()
    log.breaks = False
    assert an_import(path, log, commit_rows=3).run() == Counts(read=10, logged=4, dead=4, duplicate=2)
    assert sorted(logged(log)) == MIXED_IDS
    assert reported(path) == MIXED_BAD


def test_half_a_line_of_the_report_is_written_anew(tmp_path: Path) -> None:
    report = BadRowReport(tmp_path / "bad.jsonl")
    report.write([(0, "malformed", "x"), (4, "malformed", "é")])
    with report.path.open("a") as file:
        file.write('{"row": 9, "rea')
    report.begin(10)
    report.write([(10, "malformed", "y")])
    assert [json.loads(line)["row"] for line in report.path.read_text().splitlines()] == [1, 5, 11]


@pytest.mark.parametrize(
    "content",
    [
        "my notes\n",
        "[1]\n",
        '{"row": 1}\n',
        '{"row": "1", "reason": "malformed", "detail": "x"}\n',
        '{"row": 1, "reason": "malformed", "detail": "x", "mine": 1}\n',
        '{"row": 1, "reason": "malformed", "detail": "x"}\nand more\n',
        '{"row": 9, "reason": "malformed", "detail": "x"}\nand more\n',
        "half a line",
        "[" * 100_000 + "\n",
    ],
)
def test_a_file_that_is_no_report_is_refused_and_left_as_it_is(content: str, tmp_path: Path) -> None:
    report = BadRowReport(tmp_path / "notes.txt")
    report.path.write_text(content)
    with pytest.raises(InvalidRequest, match="no report of bad rows"):
        report.begin(5)
    assert report.path.read_text() == content


@pytest.mark.parametrize("half", ["{", '{"row": ', '{"row": 9, "reason": "malformed", "detail": "x"}'])
def test_what_a_crash_left_of_a_line_is_cut_off(half: str, tmp_path: Path) -> None:
    report = BadRowReport(tmp_path / "bad.jsonl")
    report.write([(0, "malformed", "\udcff")])
    before = report.path.read_bytes()
    report.path.write_bytes(before + half.encode())
    report.begin(10)
    assert report.path.read_bytes() == before


def test_a_report_that_cannot_be_written_is_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(InvalidRequest, match="cannot be written"):
        BadRowReport(tmp_path / "absent" / "bad.jsonl").write([(0, "malformed", "x")])
    with pytest.raises(InvalidRequest, match="cannot be written"):
        BadRowReport(tmp_path).begin(0)


def test_times_beyond_all_dates_are_bad_rows(tmp_path: Path) -> None:
    """Also those that Python has no date for, with which no report could be written."""
    path, log = tmp_path / "f.parquet", FakeImportLog()
    rows = {name: ["x"] * 3 for name in ("user_id", "item_id")} | {"type": ["view"] * 3, "event_id": ["a", "b", "c"]}
    pq.write_table(pa.table(rows | {"event_time": pa.array([2**31 - 1, 0, 3_000_000], pa.date32())}), path)
    source = open_source(path, "parquet")
    columns = Columns.of_file(source.schema.names, {}, {})
    job = an_import(written(tmp_path / "f.jsonl", [row("a")]), log)
    counts = Import(
        source, columns, Partition("import/p", 0), log, job.report, job.types, job.limits, job.clock
    ).run()  # fmt: skip
    assert counts == Counts(read=3, logged=1, dead=2)
    assert [number for number, _ in reported(tmp_path / "f.jsonl")] == [1, 3]


def test_a_check_writes_nothing_and_says_what_would_happen(tmp_path: Path) -> None:
    path, log = written(tmp_path / "f.jsonl", MIXED), FakeImportLog()
    assert an_import(path, log, commit_rows=100).check() == Counts(read=10, logged=4, dead=4, duplicate=2)
    assert log.tables == []
    assert not path.with_suffix(".bad").exists()


def test_progress_says_where_the_newest_event_is(tmp_path: Path) -> None:
    path, log = written(tmp_path / "f.jsonl", [row("a", 9), row("b", 3), row("c", type="wink")]), FakeImportLog()
    job = an_import(path, log, commit_rows=1)
    job.run()
    assert log.progress([job.partition])[job.partition].watermark_us == 1_767_225_600_000_000 + 9 * 60_000_000


def test_another_mapping_is_another_import_of_the_same_events(tmp_path: Path) -> None:
    path, log = written(tmp_path / "f.jsonl", [row("a")]), FakeImportLog()
    an_import(path, log).run()
    other = an_import(path, log, constants={"surface": "home"})
    assert other.run() == Counts(read=1, duplicate=1)


def known(log: FakeImportLog, **options: int) -> Callable[[list[str], list[int]], list[bool]]:
    ids = KnownIds(log, **options)
    return lambda names, days: ids.first_times(names, pa.array(days, pa.int64()).to_numpy()).tolist()


def test_ids_are_read_from_a_file_once_and_forgotten_oldest_use_first(tmp_path: Path) -> None:
    """Law 9: the dates held are bounded; one that comes again after that is read again."""
    log = FakeImportLog()
    an_import(written(tmp_path / "f.jsonl", [row(str(n), n * 1440) for n in range(3)]), log).run()
    days = sorted(log.files_by_day())
    ask = known(log, max_held=2)
    assert ask(["0", "new"], [days[0], days[0]]) == [False, True]
    assert ask(["0", "1"], [days[0], days[1]]) == [False, False]
    assert len(log.asked) == 2
    assert ask(["2", "1"], [days[2], days[1]]) == [False, False]
    assert len(log.asked) == 3
    assert ask(["0"], [days[0]]) == [False]
    assert len(log.asked) == 4


def test_the_first_of_equal_ids_in_a_chunk_is_the_new_one() -> None:
    assert known(FakeImportLog())(["a", "b", "a", "a"], [1, 1, 1, 1]) == [True, True, False, False]


def test_parquet_of_the_log_itself_can_be_imported(tmp_path: Path) -> None:
    """Types as `events export` writes them."""
    log = FakeImportLog()
    an_import(written(tmp_path / "f.jsonl", [row("a", position=3, attributes={"k": "v"})]), log).run()
    pq.write_table(pa.concat_tables(log.tables), tmp_path / "f.parquet")
    source, other = open_source(tmp_path / "f.parquet", "parquet"), FakeImportLog()
    columns = Columns.of_file(source.schema.names, {"type": "event_type"}, {})
    job = an_import(tmp_path / "f.jsonl", other)
    Import(
        source, columns, Partition("import/p", 0), other, job.report, job.types, job.limits, job.clock
    ).run()  # fmt: skip
    assert pa.concat_tables(other.tables) == pa.concat_tables(log.tables)
