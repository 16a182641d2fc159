"""The rows of the log: their Arrow schema, and how interactions become rows and rows become columns."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

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
        ("source_partition", pa.int32()),  # where in the events topic it came from; null for an imported event
        ("source_offset", pa.int64()),
    ]
)
DAY_US: Final = 86_400_000_000
COLUMNS_READ: Final = ("event_time", "user_id", "item_id", "event_type", "value")


@dataclass(frozen=True, slots=True)
class LogColumns:
    """Implements the EventColumns port: equal lengths, sorted by (event_time, event_id)."""

    user_ids: npt.NDArray[np.object_]
    item_ids: npt.NDArray[np.object_]
    event_types: npt.NDArray[np.object_]
    event_times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]


def to_arrow(batch: LogBatch) -> pa.Table:
    rows = batch.interactions
    sources: Sequence[tuple[int | None, int | None]] = batch.sources or [(None, None)] * len(rows)
    times = pa.array([row.event_time_us for row in rows], pa.int64())
    days = pa.array([row.event_time_us // DAY_US for row in rows], pa.int32())
    columns = [
        days.cast(pa.date32()),
        times.cast(pa.timestamp("us", "UTC")),
        pa.array([row.event_id for row in rows], pa.string()),
        pa.array([row.user_id for row in rows], pa.string()),
        pa.array([row.item_id for row in rows], pa.string()),
        pa.array([row.event_type for row in rows], pa.string()),
        pa.array([row.value for row in rows], pa.float64()),
        pa.array([row.session_id for row in rows], pa.string()),
        pa.array([row.request_id for row in rows], pa.string()),
        pa.array([row.position for row in rows], pa.int64()),
        pa.array([row.surface for row in rows], pa.string()),
        pa.array([list(row.attributes.items()) for row in rows], pa.map_(pa.string(), pa.string())),
        pa.array([row.unknown_fields or None for row in rows], pa.string()),
        pa.array([partition for partition, _ in sources], pa.int32()),
        pa.array([offset for _, offset in sources], pa.int64()),
    ]
    return pa.table(columns, schema=SCHEMA)


def to_columns(ordered: pa.Table) -> LogColumns:
    """Rows with COLUMNS_READ in the log's order as columns of the domain."""

    def objects(name: str) -> npt.NDArray[np.object_]:
        # Dictionary-encoded first: one Python string for each distinct value, not for each row.
        encoded = ordered[name].cast(pa.string()).dictionary_encode().combine_chunks()
        distinct = np.array(encoded.dictionary.to_pylist(), dtype=object)
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        return distinct[indices] if len(distinct) else np.empty(0, dtype=object)

    return LogColumns(
        user_ids=objects("user_id"),
        item_ids=objects("item_id"),
        event_types=objects("event_type"),
        event_times_us=ordered["event_time"].cast(pa.int64()).to_numpy(),
        values=ordered["value"].to_numpy(),
    )
