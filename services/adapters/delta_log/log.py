"""The offline log as a Delta Lake table, partitioned by event date.

Each commit carries, as Delta application transactions, how far every Kafka partition is stored and what became of its
records, so rows and progress land in one atomic step. A writer that lost its partitions (a zombie) conflicts on those
transactions and is refused. Format: the Delta transaction protocol, action `txn`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError

from services.adapters.delta_log.files import CONFIGURATION, WRITER_PROPERTIES
from services.adapters.delta_log.interactions import BATCH_ROWS, to_logged_events
from services.adapters.delta_log.reading import scan
from services.adapters.delta_log.rows import COLUMNS_READ, DAY_US, SCHEMA, LogColumns, to_arrow, to_columns
from services.domain.errors import EventLogConflict, EventLogDown, EventLogMoved
from services.domain.event_selection import EVERYTHING, LoggedEvents, Selection
from services.domain.ids import EventId
from services.domain.streams import Counts, LogBatch, Partition, Progress

# Others commit between our look and our commit. Larger: a log that refuses everything is noticed later.
_COMMIT_TRIES: Final = 10
IMPORTS: Final = "nightjar/imports"  # the transaction that counts the commits of imports
NUM_LANES: Final = 64  # larger: more transactions in an import's commit; smaller: writers share one and wait
_COUNTERS: Final = ("next_offset", "logged", "dead", "duplicate", "read", "watermark_us")


class DeltaEventLog:
    """Implements the EventLog port on a folder; created with the first use. Blocking; one instance for one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table: DeltaTable | None = None
        self._known_offsets: dict[Partition, int | None] = {}
        self._known_imports: int | None = None

    def progress(self, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]:
        table = self._newest()
        asked = list(partitions)
        stored = {} if table is None else {partition: progress_of(table, partition) for partition in asked}
        found = {partition: progress for partition, progress in stored.items() if progress is not None}
        self._known_offsets |= {each: found[each].next_offset if each in found else None for each in asked}
        return found

    def append(self, batch: LogBatch) -> int:
        rows, lanes = to_arrow(batch), {lane(partition.number): 1 for partition in batch.progress}
        table = self._table if self._table is not None else self._create()
        for attempt in range(_COMMIT_TRIES):
            try:
                self._check_that_nobody_else_wrote(table, batch.progress)
                self._check_that_nobody_imported(table)
                return self._commit(table, rows, batch.progress, lanes)
            except CommitFailedError:
                # Housekeeping's commits are no reason to give up; another writer's, of these partitions, are.
                table = self._newest() or self._create()
            except (DeltaError, OSError) as error:
                # A snapshot reads lazily, and housekeeping may have forgotten its commits meanwhile: look anew, once.
                if attempt:
                    raise self._down(str(error)) from error
                table = self._newest() or self._create()
        raise self._down(f"{_COMMIT_TRIES} commits were refused, the last one too")

    def _commit(
        self, table: DeltaTable, rows: pa.Table, progress: Mapping[Partition, Progress], marks: Mapping[str, int]
    ) -> int:
        """One try; raises CommitFailedError when a commit since the table's version has one of these transactions."""
        counters = {
            _transaction_id(partition, counter): value
            for partition, stored in progress.items()
            for counter, value in zip(_COUNTERS, _counter_values(stored), strict=True)
            if value is not None
        }
        transactions = [Transaction(name, value) for name, value in (counters | dict(marks)).items()]
        write_deltalake(
            table,
            rows,
            mode="append",
            writer_properties=WRITER_PROPERTIES,
            commit_properties=CommitProperties(app_transactions=transactions),
        )
        self._known_offsets |= {partition: stored.next_offset for partition, stored in progress.items()}
        return table.version()

    def _check_that_nobody_imported(self, table: DeltaTable) -> None:
        if self._known_imports is not None and self._known_imports != imports_of(table):
            raise EventLogMoved("Events were imported meanwhile; what was read is held against them anew.")

    def _down(self, problem: str) -> EventLogDown:
        self._table = None
        return EventLogDown(f"The event log in {self._folder} cannot be used ({problem}); mend its disk or its rights.")

    def _check_that_nobody_else_wrote(self, table: DeltaTable, partitions: Iterable[Partition]) -> None:
        """The commit itself conflicts only with commits after this snapshot; this covers those the snapshot holds."""
        for partition in partitions:
            stored = table.transaction_version(_transaction_id(partition, "next_offset"))
            if stored != self._known_offsets.get(partition):
                raise self._conflict(f"{partition.topic}/{partition.number} is stored up to {stored}")

    def _conflict(self, found: str) -> EventLogConflict:
        self._table = None
        return EventLogConflict(
            f"Another writer stored these partitions meanwhile ({found}); this one must read its position again."
        )

    def recent_ids(self, window_us: int) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
        table = self._newest()
        self._known_imports = 0 if table is None else imports_of(table)
        newest_us = None if table is None else _newest_event_time_us(table)
        if table is None or newest_us is None:
            return
        since_us = newest_us - window_us
        in_window = (pc.field("event_date") >= pa.scalar(since_us // DAY_US, pa.int32()).cast(pa.date32())) & (
            pc.field("event_time") >= pa.scalar(since_us, pa.timestamp("us", "UTC"))
        )
        try:
            for batch in table.to_pyarrow_dataset().to_batches(columns=["event_id", "event_time"], filter=in_window):
                yield batch.column(0).to_pylist(), batch.column(1).cast(pa.int64()).to_pylist()
        except (DeltaError, OSError) as error:
            raise self._down(str(error)) from error

    def version(self) -> int:
        table = self._newest()
        return -1 if table is None else table.version()

    def num_events(self) -> int:
        table = self._newest()
        return 0 if table is None else table.count()

    def read(self, version: int, until_us: int | None = None) -> LogColumns:
        return to_columns(scan(self._folder, version, Selection(until_us=until_us), COLUMNS_READ).read_all())

    def scan(self, version: int, selection: Selection = EVERYTHING) -> Iterator[LoggedEvents]:
        for batch in scan(self._folder, version, selection):
            for start in range(0, len(batch), BATCH_ROWS):
                yield to_logged_events(batch.slice(start, BATCH_ROWS))

    def _create(self) -> DeltaTable:
        try:
            self._folder.mkdir(parents=True, exist_ok=True)
            self._table = DeltaTable.create(
                self._folder, schema=SCHEMA, mode="ignore", partition_by=["event_date"], configuration=CONFIGURATION
            )
        except (DeltaError, OSError) as error:
            raise self._down(str(error)) from error
        return self._table

    def _newest(self) -> DeltaTable | None:
        try:
            if self._table is None:
                self._table = DeltaTable(self._folder)
            else:
                self._table.update_incremental()
        except TableNotFoundError:
            return None
        except (DeltaError, OSError) as error:
            raise self._down(str(error)) from error
        return self._table


def lane(number: int) -> str:
    """A transaction that every import has in common with the writer of a partition of this number.

    So of a writer's commit and an import's at the same time the later one is refused, and looks again at which ids the
    log has; two writers do not hinder each other.
    """
    return f"nightjar/lane/{number % NUM_LANES}"


def imports_of(table: DeltaTable) -> int:
    return table.transaction_version(IMPORTS) or 0


def _transaction_id(partition: Partition, counter: str) -> str:
    return f"nightjar/{partition.topic}/{partition.number}/{counter}"


def _counter_values(progress: Progress) -> tuple[int | None, ...]:
    """In the order of `_COUNTERS`."""
    counts = progress.counts
    return progress.next_offset, counts.logged, counts.dead, counts.duplicate, counts.read, progress.watermark_us


def next_offset_of(table: DeltaTable, partition: Partition) -> int | None:
    """As `progress_of`, of which each number costs two milliseconds."""
    return table.transaction_version(_transaction_id(partition, "next_offset"))


def progress_of(table: DeltaTable, partition: Partition) -> Progress | None:
    """How far this version of the table holds a partition; None when it was never stored."""
    values = [table.transaction_version(_transaction_id(partition, counter)) for counter in _COUNTERS]
    if values[0] is None:
        return None
    next_offset, logged, dead, duplicate, read = (value or 0 for value in values[:5])
    return Progress(next_offset, Counts(read=read, logged=logged, dead=dead, duplicate=duplicate), values[5])


def _newest_event_time_us(table: DeltaTable) -> int | None:
    """The newest event_time, read from the newest partition only; None for an empty table."""
    dates = [row["event_date"] for row in table.partitions()]
    if not dates:
        return None
    dataset = table.to_pyarrow_dataset(file_pruning_predicate=[("event_date", "=", str(max(dates)))])
    newest = pc.max(dataset.to_table(columns=["event_time"])["event_time"])
    return int(newest.cast(pa.int64()).as_py())
