"""The edge: the bytes of a record to a validated interaction, or the reason why it is dead."""

import math

from nightjar.v1 import event_pb2
from services.domain.event_types import EventTypes
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import DeadLetter, DeadReason, Record
from services.ingest.codec.records import (
    MAX_WORD_BYTES,
    Dead,
    Limits,
    attributes_of,
    check_id,
    check_size,
    or_dead,
    parse,
    time_us_of,
)


def decode_event(record: Record, types: EventTypes, limits: Limits, now_us: int) -> Interaction | DeadLetter:
    """Never raises for anything a record may hold."""
    return or_dead(record, lambda: _event(record, types, limits, now_us))


def _event(record: Record, types: EventTypes, limits: Limits, now_us: int) -> Interaction:
    message = parse(record, event_pb2.Event, limits)
    check_id("event_id", message.event_id)
    check_id("user_id", message.user_id)
    check_id("item_id", message.item_id)
    if types.get(message.type) is None:
        raise Dead(DeadReason.UNKNOWN_TYPE, f"type {message.type[:MAX_WORD_BYTES]!r} is not declared in the settings")
    value = message.value if message.HasField("value") else None
    if value is not None and not math.isfinite(value):
        raise Dead(DeadReason.INVALID_FIELD, "value is not a finite number")
    for field in ("session_id", "request_id", "surface"):
        check_size(field, getattr(message, field), MAX_WORD_BYTES)
    return Interaction(
        event_id=EventId(message.event_id),
        user_id=UserId(message.user_id),
        item_id=ItemId(message.item_id),
        event_type=message.type,
        event_time_us=time_us_of("event_time", message, limits, now_us),
        value=value,
        session_id=message.session_id,
        request_id=message.request_id,
        position=message.position if message.HasField("position") else None,
        surface=message.surface,
        attributes=attributes_of(message.attributes),
    )
