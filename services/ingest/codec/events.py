"""The edge: the bytes of a record to a validated interaction, or the reason why it is dead.

JSON is tried with `plain_json` first, which understands what nearly every producer sends; what it does not is read by
the protobuf library, whose word counts. All end in the same checks.
"""

import base64
import json
import math
from typing import Final

from google.protobuf.unknown_fields import UnknownFieldSet

from nightjar.v1 import event_pb2
from services.domain.event_types import EventTypes
from services.domain.interactions import Interaction
from services.domain.streams import DeadLetter, DeadReason, Record
from services.ingest.codec.plain_json import read_plain_json
from services.ingest.codec.raw_event import RawEvent
from services.ingest.codec.records import (
    MAX_WORD_BYTES,
    Dead,
    Limits,
    check_attributes,
    check_id,
    check_size,
    check_time,
    is_json,
    moment_us,
    parse_value,
    value_of,
)

_SHORT: Final = MAX_WORD_BYTES // 4  # characters: one has at most four bytes


def decode_event(record: Record, types: EventTypes, limits: Limits, now_us: int) -> Interaction | DeadLetter:
    """Never raises for anything a record may hold."""
    try:
        return check_event(_raw(record, limits), types, limits, now_us)
    except Dead as dead:
        return DeadLetter(record, dead.reason, dead.detail)


def check_event(raw: RawEvent, types: EventTypes, limits: Limits, now_us: int) -> Interaction:
    """The interaction that an event is; raises Dead for one that is none."""
    event_id, user_id, item_id, event_type, time_us, value, session_id, request_id, _, surface, attributes, _ = raw
    # Texts so short and plain that no rule can be broken: one look at what the rules take six for.
    if not (
        0 < len(event_id) <= _SHORT
        and 0 < len(user_id) <= _SHORT
        and 0 < len(item_id) <= _SHORT
        and len(session_id) + len(request_id) + len(surface) <= _SHORT
        and (event_id + user_id + item_id).isprintable()
    ):
        check_id("event_id", event_id)
        check_id("user_id", user_id)
        check_id("item_id", item_id)
        check_size("session_id", session_id, MAX_WORD_BYTES)
        check_size("request_id", request_id, MAX_WORD_BYTES)
        check_size("surface", surface, MAX_WORD_BYTES)
    if types.get(event_type) is None:
        raise Dead(DeadReason.UNKNOWN_TYPE, f"type {event_type[:MAX_WORD_BYTES]!r} is not declared in the settings")
    if value is not None and not math.isfinite(value):
        raise Dead(DeadReason.INVALID_FIELD, "value is not a finite number")
    check_time("event_time", time_us, limits, now_us)
    if attributes:
        check_attributes(attributes)
    return Interaction._make(raw)  # the same fields in the same order


def _raw(record: Record, limits: Limits) -> RawEvent:
    value, as_json = value_of(record, limits), is_json(record.content_type)
    if as_json and (plain := read_plain_json(value)) is not None:
        return plain
    message = parse_value(value, event_pb2.Event, as_json=as_json)
    attributes, number, position = message.attributes, message.value, message.position
    return (
        message.event_id,
        message.user_id,
        message.item_id,
        message.type,
        moment_us("event_time", message),
        number if number or message.HasField("value") else None,
        message.session_id,
        message.request_id,
        position if position or message.HasField("position") else None,
        message.surface,
        {name: attributes[name] for name in attributes},
        _unknown_fields(message) if len(UnknownFieldSet(message)) else "",
    )


def _unknown_fields(message: event_pb2.Event) -> str:
    rest = event_pb2.Event.FromString(message.SerializeToString())
    for field in event_pb2.Event.DESCRIPTOR.fields:
        rest.ClearField(field.name)  # type: ignore[arg-type]  # the stub lists the names
    return json.dumps({"protobuf": base64.b64encode(rest.SerializeToString()).decode()})
