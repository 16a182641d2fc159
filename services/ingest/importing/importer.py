"""The import itself: chunk after chunk read, judged, freed of duplicates, and committed with how far it is.

To the log an import is a partition like one of Kafka's, named by the digest of what is imported; each commit holds
rows and progress in one atomic step. So it can be killed at any moment and run again, and ends in the same log; and
two at once of the same file cannot both write.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from typing import Final, Protocol

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.domain.errors import EventLogMoved
from services.domain.event_types import EventTypes
from services.domain.interactions import Interaction
from services.domain.ports import Clock
from services.domain.streams import Counts, DeadReason, Partition, Progress
from services.ingest.codec import Limits
from services.ingest.importing.bad_rows import BadRow, BadRowReport
from services.ingest.importing.conforming import Fields, check_types, conform
from services.ingest.importing.event_ids import with_event_ids
from services.ingest.importing.judging import Judged, judge
from services.ingest.importing.known_ids import KnownIds, LoggedIds
from services.ingest.importing.mapping import Columns
from services.ingest.importing.sources import Chunk, Source

# Rows of a commit, about 1.5 KiB each while they are worked on. Larger: fewer, larger files in the log and more memory;
# smaller: more commits, and less to do again after a crash.
COMMIT_ROWS: Final = 250_000

_DAY_US: Final = 86_400_000_000
# A writer that commits meanwhile makes an import look again. Larger: it fights longer; smaller: it gives up sooner.
_COMMIT_TRIES: Final = 50
_READ_BYTES: Final = 1 << 20


class ImportLog(LoggedIds, Protocol):
    """What an import needs of the offline log; see EventLog for what the errors mean."""

    def progress(self, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]: ...

    def rows_of(self, interactions: Sequence[Interaction]) -> pa.Table:
        """Interactions as rows; the table's schema is that of every row."""
        ...

    def append_table(self, rows: pa.Table, progress: Mapping[Partition, Progress]) -> int:
        """Appends rows and progress in one atomic step.

        Raises EventLogMoved when others stored events since the log was last asked for its ids; EventLogConflict when
        another process imports the same file; EventLogDown.
        """
        ...


@dataclass(frozen=True)
class Import:
    """One file to be imported, and everything it stands on. `on_progress` hears the counts after each commit."""

    source: Source
    columns: Columns
    partition: Partition
    log: ImportLog
    report: BadRowReport
    types: EventTypes
    limits: Limits
    clock: Clock
    on_progress: Callable[[Counts], None] = lambda _: None
    commit_rows: int = COMMIT_ROWS

    def run(self) -> Counts:
        """Imports what is not imported yet; blocks. Returns the counts of the whole file, earlier runs included."""
        check_types(self.source.schema, self.columns)
        done = self.log.progress([self.partition]).get(self.partition, Progress(0, Counts()))
        self.report.begin(done.next_offset)
        known = KnownIds(self.log)
        self.on_progress(done.counts)
        for chunk in self.source.chunks(self.columns.columns, done.next_offset, self.commit_rows):
            rows, counts, bad = self._taken(chunk, known)
            self.report.write(bad)
            done = self._stored(chunk, rows, counts, done, known)
            self.on_progress(done.counts)
        return done.counts

    def _stored(self, chunk: Chunk, rows: pa.Table, counts: Counts, before: Progress, known: KnownIds) -> Progress:
        """The progress once the rows are in the log; those that a writer stores meanwhile become duplicates."""
        for tries_left in range(_COMMIT_TRIES, 0, -1):
            newest_us = pc.max(rows["event_time"].cast(pa.int64())).as_py()
            after = Progress(
                chunk.first_row + chunk.num_rows, before.counts + counts, _later(before.watermark_us, newest_us)
            )
            try:
                self.log.append_table(rows, {self.partition: after})
                break
            except EventLogMoved:
                if tries_left == 1:
                    raise
                rows, counts, _ = self._taken(chunk, known)
        return after

    def check(self, on_bad_row: Callable[[BadRow], None] = lambda _: None) -> Counts:
        """What `run` would do with a log as it is now, and writes nothing; `on_bad_row` hears of each. Blocks.

        Duplicates of the file's own rows are counted within a chunk only.
        """
        check_types(self.source.schema, self.columns)
        total, known = Counts(), KnownIds(self.log)
        for chunk in self.source.chunks(self.columns.columns, 0, self.commit_rows):
            _, counts, bad = self._taken(chunk, known)
            for row in bad:
                on_bad_row(row)
            total += counts
            self.on_progress(total)
        return total

    def _taken(self, chunk: Chunk, known: KnownIds) -> tuple[pa.Table, Counts, Iterator[BadRow]]:
        """The chunk's new events as rows, what became of its rows, and the bad ones as the report wants them."""
        now_us = int(self.clock.now().timestamp() * 1_000_000)
        fields = with_event_ids(conform(chunk, self.columns))
        unreadable = np.zeros(chunk.num_rows, dtype=np.bool_)
        unreadable[list(chunk.unreadable)] = True
        judged = judge(fields, unreadable, self.types, self.limits, now_us)
        events = self._events(fields, judged)
        days = pc.divide(events["event_time"].cast(pa.int64()), _DAY_US).to_numpy()
        new = known.first_times(events["event_id"].to_pylist(), days)
        rows = _in_time_order(events if new.all() else events.filter(pa.array(new)))
        num_bad = len(chunk.unreadable) + len(judged.bad)
        counts = Counts(chunk.num_rows, len(rows), num_bad, len(events) - len(rows))
        return rows, counts, _bad_rows(chunk, judged)

    def _events(self, fields: Fields, judged: Judged) -> pa.Table:
        """The good rows in the file's order, as the log has them."""
        others = self.log.rows_of([interaction for _, interaction in judged.others])
        plain = rows_of_fields(fields, others.schema)
        if not judged.plain.all():
            plain = plain.filter(pa.array(judged.plain))
        if not judged.others:
            return plain
        places = np.concatenate((np.flatnonzero(judged.plain), [place for place, _ in judged.others]))
        return pa.concat_tables([plain, others]).take(pa.array(np.argsort(places)))


def partition_of(path: Path, columns: Columns, format_name: str) -> Partition:
    """The name an import goes by in the log: a digest of the file's bytes and of how they are read. Reads it whole."""
    digest = sha256()
    with path.open("rb") as file:
        while part := file.read(_READ_BYTES):
            digest.update(part)
    digest.update(f"\0{format_name}\0{columns.canonical()}".encode())
    return Partition(f"import/{digest.hexdigest()[:32]}", 0)


def rows_of_fields(fields: Fields, schema: pa.Schema) -> pa.Table:
    """Typed fields as rows of the log; what an event leaves out is as the stream's writer stores it."""
    typed, num_rows = fields.typed, fields.num_rows
    times = typed["event_time"]
    columns = {
        "event_date": pc.divide(times, _DAY_US).cast(pa.int32()).cast(pa.date32()),
        "event_time": times.cast(pa.timestamp("us", "UTC")),
        "event_type": typed["type"],
        **{name: typed[name] for name in ("event_id", "user_id", "item_id", "value", "position") if name in typed},
        **{
            name: pc.fill_null(typed[name], "") if name in typed else pa.repeat(pa.scalar(""), num_rows)
            for name in ("session_id", "request_id", "surface")
        },
        "attributes": _filled(typed.get("attributes"), num_rows),
    }
    arrays = [columns.get(field.name, pa.nulls(num_rows, field.type)) for field in schema]
    return pa.table([array.cast(field.type) for array, field in zip(arrays, schema, strict=True)], schema=schema)


def _in_time_order(rows: pa.Table) -> pa.Table:
    """Sorted unless it is already: the log's writer takes a date at a time, and hundreds mixed are a tenth as fast."""
    times = rows["event_time"].cast(pa.int64()).to_numpy()
    return rows if (times[1:] >= times[:-1]).all() else rows.take(pa.array(np.argsort(times, kind="stable")))


def _filled(attributes: pa.Array | None, num_rows: int) -> pa.Array:
    """No attributes are an empty map."""
    kind = pa.map_(pa.string(), pa.string())
    if attributes is None:
        return pa.MapArray.from_arrays(
            np.zeros(num_rows + 1, np.int32), pa.array([], pa.string()), pa.array([], pa.string())
        )
    return pc.if_else(attributes.is_valid(), attributes, pa.scalar([], kind)) if attributes.null_count else attributes


def _bad_rows(chunk: Chunk, judged: Judged) -> Iterator[BadRow]:
    found = [(place, DeadReason.MALFORMED.value, detail) for place, detail in chunk.unreadable.items()]
    found += [(bad.place, bad.reason.value, bad.detail) for bad in judged.bad]
    return ((chunk.first_row + place, reason, detail) for place, reason, detail in sorted(found))


def _later(one_us: int | None, other_us: int | None) -> int | None:
    return max((each for each in (one_us, other_us) if each is not None), default=None)
