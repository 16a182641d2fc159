"""The rows of the log: their Arrow schema, and how interactions become rows."""

from collections.abc import Mapping, Sequence
from itertools import chain
from operator import methodcaller
from typing import Final

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from services.domain.streams import LogBatch

SCHEMA: Final = pa.schema(
    [
        ("event_date", pa.date32()),
        ("event_time", pa.timestamp("us", "UTC")),
        ("event_id", pa.string()),
        ("user_id", pa.string()),
        ("item_id", pa.string()),
        ("event_type", pa.string()),
        ("value", pa.float64()),
        ("session_id", pa.string()),
        ("request_id", pa.string()),
        ("position", pa.int64()),
        ("surface", pa.string()),
        ("attributes", pa.map_(pa.string(), pa.string())),
        ("unknown_fields", pa.string()),  # what a newer producer sent, see Interaction
        ("source_topic", pa.string()),  # where it came from; null for an imported event
        ("source_partition", pa.int32()),
        ("source_offset", pa.int64()),
    ]
)
DAY_US: Final = 86_400_000_000


def to_arrow(batch: LogBatch) -> pa.Table:
    """The rows of a batch; a column is made at once, since a loop over rows costs more than all else."""
    rows = batch.interactions
    if not rows:
        return SCHEMA.empty_table()
    (ids, users, items, types, times_us, values, sessions, requests, positions, surfaces, attributes, unknown) = zip(
        *rows, strict=True
    )
    times = pa.array(times_us, pa.int64())
    columns = [
        pc.divide(times, DAY_US).cast(pa.int32()).cast(pa.date32()),
        times.cast(pa.timestamp("us", "UTC")),
        pa.array(ids, pa.string()),
        pa.array(users, pa.string()),
        pa.array(items, pa.string()),
        pa.array(types, pa.string()),
        pa.array(values, pa.float64()),
        pa.array(sessions, pa.string()),
        pa.array(requests, pa.string()),
        pa.array(positions, pa.int64()),
        pa.array(surfaces, pa.string()),
        _map_array(attributes),
        pa.array([each or None for each in unknown], pa.string()) if any(unknown) else pa.nulls(len(rows), pa.string()),
        *_source_columns(batch),
    ]
    return pa.table(columns, schema=SCHEMA)


def _source_columns(batch: LogBatch) -> list[pa.Array]:
    if not batch.sources:
        return [pa.nulls(len(batch.interactions), SCHEMA.field(name).type) for name in SCHEMA.names[-3:]]
    counts = [len(offsets) for _, offsets in batch.sources]
    each = pa.array(np.repeat(np.arange(len(counts)), counts))
    topics = pa.array([partition.topic for partition, _ in batch.sources], pa.string())
    numbers = pa.array([partition.number for partition, _ in batch.sources], pa.int32())
    offsets = list(chain.from_iterable(offsets for _, offsets in batch.sources))
    return [topics.take(each), numbers.take(each), pa.array(offsets, pa.int64())]


def _map_array(maps: Sequence[Mapping[str, str]]) -> pa.MapArray:
    ends = np.cumsum(np.fromiter(map(len, maps), np.int32, len(maps)), dtype=np.int32)
    return pa.MapArray.from_arrays(
        pa.array(np.concatenate((np.zeros(1, np.int32), ends))),
        pa.array(list(chain.from_iterable(maps)), pa.string()),
        pa.array(list(chain.from_iterable(map(methodcaller("values"), maps))), pa.string()),
    )
