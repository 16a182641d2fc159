"""Reading the log in no order: for what only counts events. Nothing is sorted, and so no ids are read either."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds

from services.adapters.delta_log.reading import (
    condition,
    dataset_of,
    fragments_by_day,
    local_dataset,
    open_version,
    time_between,
    touches,
)
from services.domain.errors import EventLogDown
from services.domain.event_selection import Selection

# Rows of a batch. Larger: more memory; smaller: more turns of Python, each of which meets the same words again.
BATCH_ROWS: Final = 131_072
# Batches that Arrow decodes ahead of the reader. Larger: more memory, 10 MB each; smaller: the reader waits for files.
BATCHES_AHEAD: Final = 2


def stream(folder: Path, version: int, selection: Selection, columns: Sequence[str]) -> Iterator[pa.RecordBatch]:
    """The selected events, these columns, words that are null as empty ones; file by file.

    Raises UnknownVersion, and EventLogDown, also while it is read, when a file cannot be read.
    """
    if version < 0:
        return
    dataset = local_dataset(open_version(folder, version), folder)
    days = fragments_by_day(dataset).items()
    wanted = [fragment for day, fragments in days if touches(day, selection) for fragment in fragments]
    yield from map(_without_nulls, _batches(dataset_of(dataset, wanted), columns, condition(selection)))


def newest_time_us(folder: Path, version: int, until_us: int | None) -> int | None:
    """Reads the times of one date, or of a few where the newest have none before `until_us`; raises as `stream`."""
    if version < 0:
        return None
    dataset = local_dataset(open_version(folder, version), folder)
    for day, fragments in reversed(fragments_by_day(dataset).items()):
        if touches(day, Selection(until_us=until_us)):
            batches = _batches(dataset_of(dataset, fragments), ["event_time"], time_between(None, until_us))
            newest = max((pc.max(batch["event_time"].cast(pa.int64())).as_py() for batch in batches), default=None)
            if newest is not None:
                return int(newest)
    return None


def _batches(dataset: ds.Dataset, columns: Sequence[str], wanted: pc.Expression) -> Iterator[pa.RecordBatch]:
    try:
        scanner = dataset.scanner(
            columns=list(columns),
            filter=wanted,
            batch_size=BATCH_ROWS,
            batch_readahead=BATCHES_AHEAD,
            fragment_readahead=1,
        )
        yield from (batch for batch in scanner.to_batches() if len(batch))
    except (OSError, pa.ArrowException) as error:
        raise EventLogDown(f"The event log cannot be read ({error}); mend its disk.") from error


def _without_nulls(batch: pa.RecordBatch) -> pa.RecordBatch:
    filled = [
        pc.fill_null(column, "") if pa.types.is_string(column.type) and column.null_count else column
        for column in batch.columns
    ]
    return pa.RecordBatch.from_arrays(filled, names=batch.schema.names)
