"""The offline log as a Delta Lake table, partitioned by event date.

Each commit carries, as Delta application transactions, how far every Kafka partition is stored and what became of its
records, so rows and progress land in one atomic step. A writer that lost its partitions (a zombie) conflicts on those
transactions and is refused. One more transaction counts all appends, so that nobody appends beside ids that they have
not seen. Format: the Delta transaction protocol, action `txn`.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
from deltalake import CommitProperties, DeltaTable, Transaction, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError, TableNotFoundError
from pyarrow.parquet import ParquetFile

from services.adapters.delta_log.columns import COLUMNS_READ, to_columns
from services.adapters.delta_log.files import CONFIGURATION, WRITER_PROPERTIES
from services.adapters.delta_log.ids import ID_COLUMNS, files_added, newest_ids
from services.adapters.delta_log.interactions import BATCH_ROWS, to_logged_events
from services.adapters.delta_log.reading import scan
from services.adapters.delta_log.rows import SCHEMA, to_arrow
from services.adapters.delta_log.streaming import newest_time_us, stream
from services.domain.errors import EventLogConflict, EventLogDown, EventLogMoved
from services.domain.event_columns import EventColumns
from services.domain.event_selection import EVERYTHING, LoggedEvents, Selection
from services.domain.ids import EventId
from services.domain.streams import Counts, LogBatch, Partition, Progress

# Others commit between our look and our commit. Larger: a log that refuses everything is noticed later.
_COMMIT_TRIES: Final = 10
_APPENDS: Final = "nightjar/appends"  # the transaction that counts the appends of writers and imports
_COUNTERS: Final = ("next_offset", "logged", "dead", "duplicate", "read", "watermark_us")


class DeltaEventLog:
    """Implements the EventLog port on a folder; created with the first use. Blocking; one instance for one thread."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._table: DeltaTable | None = None
        self._known_offsets: dict[Partition, int | None] = {}
        self._seen_appends: int | None = None
        """How many appends `recent_ids` and `ids_of_others` have told of, and our own; None when nobody asked."""
        self._seen_version = -1
        self._window: tuple[int, int | None] = (0, None)

    def progress(self, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]:
        table = self._newest()
        asked = list(partitions)
        stored = {} if table is None else {partition: progress_of(table, partition) for partition in asked}
        found = {partition: progress for partition, progress in stored.items() if progress is not None}
        self._known_offsets |= {each: found[each].next_offset if each in found else None for each in asked}
        return found

    def append(self, batch: LogBatch) -> int:
        rows = to_arrow(batch)
        table = self._table if self._table is not None else self._create()
        for attempt in range(_COMMIT_TRIES):
            try:
                self._check_that_nobody_else_wrote(table, batch.progress)
                self._check_that_all_was_seen(table)
                return self._commit(table, rows, batch.progress)
            except CommitFailedError:
                # Housekeeping's commits are no reason to give up; another's append is looked at first.
                table = self._newest() or self._create()
            except (DeltaError, OSError) as error:
                # A snapshot reads lazily, and housekeeping may have forgotten its commits meanwhile: look anew, once.
                if attempt:
                    raise self._down(str(error)) from error
                table = self._newest() or self._create()
        raise self._down(f"{_COMMIT_TRIES} commits were refused, the last one too")

    def _commit(self, table: DeltaTable, rows: pa.Table, progress: Mapping[Partition, Progress]) -> int:
        """One try; raises CommitFailedError when anybody has appended since the table's version."""
        num_appends = appends_of(table) + 1
        counters = {
            _transaction_id(partition, counter): value
            for partition, stored in progress.items()
            for counter, value in zip(_COUNTERS, _counter_values(stored), strict=True)
            if value is not None
        }
        transactions = [Transaction(name, value) for name, value in (counters | {_APPENDS: num_appends}).items()]
        write_deltalake(
            table,
            rows,
            mode="append",
            writer_properties=WRITER_PROPERTIES,
            commit_properties=CommitProperties(app_transactions=transactions),
        )
        self._known_offsets |= {partition: stored.next_offset for partition, stored in progress.items()}
        if self._seen_appends is not None:
            self._seen_appends, self._seen_version = num_appends, table.version()
        return table.version()

    def _check_that_all_was_seen(self, table: DeltaTable) -> None:
        if self._seen_appends is not None and self._seen_appends != appends_of(table):
            raise EventLogMoved("Others stored events meanwhile; what was read is held against them first.")

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

    def recent_ids(
        self, window_us: int, max_ids: int | None = None
    ) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
        table = self._newest()
        self._window, seen = (window_us, max_ids), _appends_and_version(table)
        if table is not None:
            try:
                for rows in newest_ids(table, self._folder, window_us, max_ids):
                    yield _ids_and_times(rows)
            except (DeltaError, OSError, pa.ArrowException) as error:
                raise self._down(str(error)) from error
        self._seen_appends, self._seen_version = seen

    def ids_of_others(self) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
        table = self._newest()
        seen = _appends_and_version(table)
        if table is None or self._seen_appends == seen[0]:
            return
        try:
            for path in files_added(self._folder, self._seen_version, seen[1]):
                for rows in ParquetFile(path).iter_batches(columns=ID_COLUMNS):
                    yield _ids_and_times(rows)
        except FileNotFoundError:  # it has been so long that housekeeping took a commit, or a file that it replaced
            yield from self.recent_ids(*self._window)
        except (DeltaError, OSError, pa.ArrowException) as error:
            raise self._down(str(error)) from error
        else:
            self._seen_appends, self._seen_version = seen

    def version(self) -> int:
        table = self._newest()
        return -1 if table is None else table.version()

    def num_events(self) -> int:
        table = self._newest()
        return 0 if table is None else table.count()

    def read(self, version: int, until_us: int | None = None) -> EventColumns:
        columns = to_columns(scan(self._folder, version, Selection(until_us=until_us), COLUMNS_READ))
        # Arrow keeps what it has freed, 100 bytes an event, and whoever asked for the columns needs it next.
        pa.default_memory_pool().release_unused()
        return columns

    def scan(self, version: int, selection: Selection = EVERYTHING) -> Iterator[LoggedEvents]:
        for batch in scan(self._folder, version, selection):
            for start in range(0, len(batch), BATCH_ROWS):
                yield to_logged_events(batch.slice(start, BATCH_ROWS))

    def stream(self, version: int, selection: Selection = EVERYTHING) -> Iterator[EventColumns]:
        for batch in stream(self._folder, version, selection, COLUMNS_READ):
            yield to_columns([batch])

    def newest_time_us(self, version: int, until_us: int | None = None) -> int | None:
        return newest_time_us(self._folder, version, until_us)

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


def appends_of(table: DeltaTable) -> int:
    return table.transaction_version(_APPENDS) or 0


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


def _appends_and_version(table: DeltaTable | None) -> tuple[int, int]:
    """Of this moment: the table moves on with each look at the newest version."""
    return (0, -1) if table is None else (appends_of(table), table.version())


def _ids_and_times(rows: pa.RecordBatch) -> tuple[Sequence[EventId], Sequence[int]]:
    return rows["event_id"].to_pylist(), rows["event_time"].cast(pa.int64()).to_pylist()
