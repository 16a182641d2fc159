"""Rows of the log as the domain's interactions again: the inverse of `rows.to_arrow`."""

from typing import Final

import pyarrow as pa

from services.domain.event_selection import LoggedEvents
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import Partition

# Rows that become Python objects at a time, about 1 KiB each. Larger: more memory; smaller: more turns.
BATCH_ROWS: Final = 20_000

_IN_ORDER: Final = (
    "event_id",
    "user_id",
    "item_id",
    "event_type",
    "value",
    "session_id",
    "request_id",
    "position",
    "surface",
    "attributes",
    "unknown_fields",
)


def to_logged_events(rows: pa.RecordBatch) -> LoggedEvents:
    """The rows, which have every column, as interactions, and where each came from."""
    times_us = rows["event_time"].cast(pa.int64()).to_pylist()
    others = [rows[name].to_pylist() for name in _IN_ORDER]
    interactions = [
        Interaction(
            EventId(event_id),
            UserId(user_id),
            ItemId(item_id),
            event_type,
            time_us,
            value,
            session_id or "",
            request_id or "",
            position,
            surface or "",
            dict(attributes or ()),
            unknown_fields or "",
        )
        for (
            time_us,
            event_id,
            user_id,
            item_id,
            event_type,
            value,
            session_id,
            request_id,
            position,
            surface,
            attributes,
            unknown_fields,
        ) in zip(times_us, *others, strict=True)
    ]
    topics, numbers, offsets = (rows[f"source_{name}"].to_pylist() for name in ("topic", "partition", "offset"))
    sources = zip(topics, numbers, offsets, strict=True)
    return LoggedEvents(
        interactions,
        [None if topic is None else (Partition(topic, number), offset) for topic, number, offset in sources],
    )
