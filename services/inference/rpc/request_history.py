"""What a request says that a visitor did, as a history: made as the online store makes one of the same events."""

import math
from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.errors import InvalidRequest
from services.domain.event_types import EventTypes
from services.domain.ids import EventId, ItemId, id_problem
from services.domain.interactions import HistoryEntry, UserHistory

MAX_EVENTS: Final = 200  # larger: requests grow for what no model reads; smaller: a long session is cut off
FIELD: Final = "recent_events"


def history_of(events: Sequence[wire.RecentEvent], event_types: EventTypes) -> UserHistory:
    """Oldest first, impressions passed over; its version is a fingerprint of it, empty for no event.

    Raises InvalidRequest, which names the event.
    """
    if len(events) > MAX_EVENTS:
        raise InvalidRequest(FIELD, f"has {len(events)} events; at most {MAX_EVENTS} are allowed")
    entries, consumed, time_us = list[HistoryEntry](), set[ItemId](), 0
    for number, event in enumerate(events):
        where = f"{FIELD}[{number}]"
        problem = id_problem(event.item_id)
        if problem is not None:
            raise InvalidRequest(f"{where}.item_id", problem)
        if not math.isfinite(event.value):
            raise InvalidRequest(f"{where}.value", "is not a finite number")
        kind = event_types.get(event.event_type)
        if kind is None:
            words = ", ".join(event_types.names())
            raise InvalidRequest(f"{where}.event_type", f"is {event.event_type[:40]!r}; declared are {words}")
        time_us = _time_us(f"{where}.event_time", event.event_time) if event.HasField("event_time") else time_us
        if not kind.enters_history:
            continue
        item_id, value = ItemId(event.item_id), event.value if event.HasField("value") else None
        entries.append(HistoryEntry(time_us, EventId(f"{number:03d}"), item_id, kind.name, value))
        if kind.consumes:
            consumed.add(item_id)
    return UserHistory(tuple(sorted(entries)), frozenset(consumed), _fingerprint(events) if entries else "")


def _time_us(field: str, stamp: Timestamp) -> int:
    if not 0 <= stamp.nanos < 1_000_000_000 or not 0 <= stamp.seconds < 253_402_300_800:  # 1970 to 9999
        raise InvalidRequest(field, "is no time from 1970 to 9999")
    return stamp.seconds * 1_000_000 + stamp.nanos // 1_000


def _fingerprint(events: Sequence[wire.RecentEvent]) -> str:
    """Of what was sent, each event behind its length, so that no two lists run together to the same bytes."""
    digest = blake2b(digest_size=16)
    for event in events:
        encoded = event.SerializeToString(deterministic=True)
        digest.update(len(encoded).to_bytes(4, "big") + encoded)
    return digest.hexdigest()
