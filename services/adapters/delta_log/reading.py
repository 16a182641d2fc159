"""Reading the log: one pinned version, in time order, streaming, and only the columns and rows asked for.

The table is partitioned by event date, so dates read one after the other and each sorted by itself are the whole in
order. What a reader holds is therefore bounded: whole dates up to SORT_ROWS rows and SORT_BYTES of files together, and
slices of a date that has more. Files, row groups and columns that cannot matter are not read: dates by the table's
metadata, rows by the statistics of each Parquet file.
"""

from collections.abc import Iterator, Mapping, Sequence
from datetime import date
from functools import reduce
from pathlib import Path
from typing import Final, NamedTuple

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable
from deltalake.exceptions import DeltaError, TableNotFoundError

from services.adapters.delta_log.rows import DAY_US, SCHEMA
from services.domain.errors import EventLogDown, UnknownVersion
from services.domain.event_selection import EVERYTHING, Selection

# Rows that are sorted, and so held, at a time, about 300 bytes each with all columns.
# Larger: more memory; smaller: a busy day is read in more slices, each of which asks all the day's files.
SORT_ROWS: Final = 2_000_000
# Bytes of Parquet files that are sorted at a time, for rows with much in them; common ones have 20 to 60 bytes there
# and reach SORT_ROWS first. In memory they are up to some ten times as large. Larger and smaller as above.
SORT_BYTES: Final = 128 * 1024 * 1024
ORDER: Final = ("event_time", "event_id")

_EPOCH: Final = date(1970, 1, 1)


def scan(
    folder: Path,
    version: int,
    selection: Selection = EVERYTHING,
    columns: Sequence[str] = tuple(SCHEMA.names),
    *,
    sort_rows: int = SORT_ROWS,
    sort_bytes: int = SORT_BYTES,
) -> pa.RecordBatchReader:
    """The selected events of a pinned version, these columns, sorted by (event_time, event_id); a lazy stream.

    Version -1 is the log that does not exist yet, and has no events. Polars takes the reader as it is
    (`polars.from_arrow`). Raises UnknownVersion for a version that never was or was cleaned up, ArrowInvalid for a
    column that is none, and EventLogDown, also while it is read, when a file cannot be read.
    """
    schema = pa.schema([SCHEMA.field(name) for name in columns])
    if version < 0:
        return pa.RecordBatchReader.from_batches(schema, iter(()))
    table = open_version(folder, version)
    dataset, bound = local_dataset(table, folder), _Size(sort_rows, sort_bytes)
    return pa.RecordBatchReader.from_batches(schema, _batches(dataset, _sizes(table), selection, schema, bound))


class _Size(NamedTuple):
    """Of files: their rows, and their bytes on disk."""

    num_rows: int
    size_bytes: int

    def and_also(self, other: "_Size") -> "_Size":
        return _Size(self.num_rows + other.num_rows, self.size_bytes + other.size_bytes)

    def exceeds(self, bound: "_Size") -> bool:
        return self.num_rows > bound.num_rows or self.size_bytes > bound.size_bytes

    def rows_within(self, bound: "_Size") -> int:
        """How many of these rows are within the bound, all taken to be equally large; one at least."""
        return max(min(bound.num_rows, self.num_rows * bound.size_bytes // self.size_bytes), 1)


_NOTHING: Final = _Size(0, 0)


def open_version(folder: Path, version: int) -> DeltaTable:
    """The table at a version; raises UnknownVersion when it is gone or never was, and EventLogDown."""
    try:
        return DeltaTable(folder, version=version)
    except (DeltaError, OSError) as error:
        # The library tells a version that is gone from a broken log by its wording alone; the newest version tells us.
        newest = open_newest(folder)
        if newest is None:
            raise UnknownVersion(f"There is no event log in {folder} yet, so it has no version {version}.") from error
        raise UnknownVersion(
            f"The event log in {folder} has no version {version}, or no longer ({error}); its newest is "
            f"{newest.version()}, and `nightjar log status` shows the others."
        ) from error


def open_newest(folder: Path) -> DeltaTable | None:
    """The table as it is now, None before the first append; raises EventLogDown when it cannot be read."""
    try:
        return DeltaTable(folder)
    except TableNotFoundError:
        return None
    except (DeltaError, OSError) as error:
        raise EventLogDown(f"The event log in {folder} cannot be read ({error}); mend its disk.") from error


def local_dataset(table: DeltaTable, folder: Path) -> ds.Dataset:
    """The table's files as an Arrow dataset, read by Arrow itself and not through a Python file system."""
    return table.to_pyarrow_dataset(filesystem=pafs.SubTreeFileSystem(str(folder), pafs.LocalFileSystem()))


def fragments_by_day(dataset: ds.Dataset) -> dict[int, list[ds.Fragment]]:
    """The files of each date, as days since the epoch, ascending."""
    days: dict[int, list[ds.Fragment]] = {}
    for fragment in dataset.get_fragments():
        keys = ds.get_partition_keys(fragment.partition_expression)
        days.setdefault((keys["event_date"] - _EPOCH).days, []).append(fragment)
    return dict(sorted(days.items()))


def time_between(since_us: int | None, until_us: int | None) -> pc.Expression:
    """since_us <= event_time < until_us, where a bound that is None does not bind."""
    bounds = pc.scalar(True)
    if since_us is not None:
        bounds &= pc.field("event_time") >= _moment(since_us)
    if until_us is not None:
        bounds &= pc.field("event_time") < _moment(until_us)
    return bounds


def _batches(
    dataset: ds.Dataset, sizes: Mapping[str, _Size], selection: Selection, schema: pa.Schema, bound: _Size
) -> Iterator[pa.RecordBatch]:
    wanted = condition(selection)
    read = list(dict.fromkeys((*ORDER, *schema.names)))
    for part, within in _parts(dataset, sizes, selection, bound):
        try:
            table = part.to_table(columns=read, filter=wanted & within)
        except (OSError, pa.ArrowException) as error:
            raise EventLogDown(f"The event log cannot be read ({error}); mend its disk.") from error
        if len(table):
            yield from _in_order(table, schema)


def _in_order(table: pa.Table, schema: pa.Schema) -> list[pa.RecordBatch]:
    try:
        ordered = table.take(_positions(table))
        batches: list[pa.RecordBatch] = ordered.select(schema.names).cast(schema).combine_chunks().to_batches()
    except pa.ArrowException as error:
        raise EventLogDown(
            f"{len(table)} events of the log cannot be put in order ({error}); free some memory, or read fewer columns."
        ) from error
    return batches


def _positions(table: pa.Table) -> pa.Array:
    return pc.sort_indices(table, [(name, "ascending") for name in ORDER])


def _parts(
    dataset: ds.Dataset, sizes: Mapping[str, _Size], selection: Selection, bound: _Size
) -> Iterator[tuple[ds.Dataset, pc.Expression]]:
    """What is read at a time: some whole dates, or a slice of one; ascending in time and apart from one another."""
    together: list[ds.Fragment] = []
    held = _NOTHING
    for day, fragments in fragments_by_day(dataset).items():
        if not touches(day, selection):
            continue
        size = reduce(_Size.and_also, (sizes[fragment.path] for fragment in fragments), _NOTHING)
        if together and held.and_also(size).exceeds(bound):
            yield dataset_of(dataset, together), pc.scalar(True)
            together, held = [], _NOTHING
        if size.exceeds(bound):
            large, num_rows = dataset_of(dataset, fragments), size.rows_within(bound)
            yield from ((large, within) for within in _slices(large, day * DAY_US, (day + 1) * DAY_US, num_rows))
        else:
            together, held = together + fragments, held.and_also(size)
    if together:
        yield dataset_of(dataset, together), pc.scalar(True)


def _slices(dataset: ds.Dataset, since_us: int, until_us: int, sort_rows: int) -> Iterator[pc.Expression]:
    """Ranges of time in halves until each has few enough rows; events of one moment stay together, however many."""
    within = time_between(since_us, until_us)
    if until_us - since_us <= 1 or dataset.count_rows(filter=within) <= sort_rows:
        yield within
        return
    middle_us = (since_us + until_us) // 2
    yield from _slices(dataset, since_us, middle_us, sort_rows)
    yield from _slices(dataset, middle_us, until_us, sort_rows)


def dataset_of(whole: ds.Dataset, fragments: list[ds.Fragment]) -> ds.Dataset:
    """These files of the whole alone."""
    return ds.FileSystemDataset(fragments, whole.schema, whole.format, whole.filesystem)


def touches(day: int, selection: Selection) -> bool:
    """Whether a date, as days since the epoch, may hold selected events."""
    since_us, until_us = selection.since_us, selection.until_us
    return (since_us is None or since_us < (day + 1) * DAY_US) and (until_us is None or until_us > day * DAY_US)


def condition(selection: Selection) -> pc.Expression:
    """The selection as a filter on rows."""
    wanted = time_between(selection.since_us, selection.until_us)
    for column, words in (("event_type", selection.event_types), ("user_id", selection.user_ids)):
        if words is not None:
            wanted &= pc.field(column).isin(pa.array(sorted(words), pa.string()))
    return wanted


def _sizes(table: DeltaTable) -> dict[str, _Size]:
    actions = pa.table(table.get_add_actions())
    columns = (actions[name].to_pylist() for name in ("path", "num_records", "size_bytes"))
    return {path: _Size(num_rows, size_bytes) for path, num_rows, size_bytes in zip(*columns, strict=True)}


def _moment(time_us: int) -> pa.Scalar:
    return pa.scalar(time_us, pa.timestamp("us", "UTC"))
