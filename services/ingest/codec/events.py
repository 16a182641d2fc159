"""The edge: the bytes of a record to a validated interaction, or the reason why it is dead.

JSON is tried with `plain_json` first, which understands what nearly every producer sends; what it does not is read by
the protobuf library, whose word counts. All end in the same checks.
"""

import base64
import json
import math
import sys
from typing import Final

from google.protobuf.unknown_fields import UnknownFieldSet

from nightjar.v1 import event_pb2
from services.domain.event_types import EventTypes
from services.domain.interactions import Interaction
from services.domain.streams import DeadLetter, DeadReason, Record
from services.ingest.codec.plain_json import part_known_from_unknown, read_plain_json
from services.ingest.codec.raw_event import RawEvent
from services.ingest.codec.records import (
    END_OF_TIME_US,
    MAX_ATTRIBUTE_BYTES,
    MAX_ATTRIBUTES,
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
_LARGEST: Final = sys.float_info.max  # beyond it lie the infinities; a NaN is neither above nor below


def decode_event(record: Record, types: EventTypes, limits: Limits, now_us: int) -> Interaction | DeadLetter:
    """Never raises for anything a record may hold."""
    try:
        value = value_of(record, limits)
        raw = _from_json(value) if is_json(record.content_type) else _from_protobuf(value)
        return _checked(raw, len(value), types, limits, now_us)
    except Dead as dead:
        return DeadLetter(record, dead.reason, dead.detail)


def _checked(raw: RawEvent, num_bytes: int, types: EventTypes, limits: Limits, now_us: int) -> Interaction:
    """The interaction that an event of a record of so many bytes is; raises Dead for one that is none."""
    event_id, user_id, item_id, event_type, time_us, value, session_id, request_id, _, surface, attributes, _ = raw
    # So short and plain that no rule can be broken: one look at what the rules take twenty for. No text is longer than
    # the record it came in.
    if not (
        event_id
        and user_id
        and item_id
        and (event_id + user_id + item_id).isprintable()
        and (num_bytes <= MAX_WORD_BYTES or _are_short(event_id, user_id, item_id, session_id + request_id + surface))
        and event_type in types.by_name
        and (value is None or -_LARGEST <= value <= _LARGEST)
        and time_us is not None
        and 0 <= time_us <= now_us + limits.max_future_us
        and time_us < END_OF_TIME_US
        and len(attributes) <= MAX_ATTRIBUTES
        and (num_bytes <= MAX_ATTRIBUTE_BYTES or not attributes)
    ):
        _check_each(raw, types, limits, now_us)
    return tuple.__new__(Interaction, raw)  # the same fields in the same order; `_make` takes three times as long


def _are_short(*texts: str) -> bool:
    return max(map(len, texts)) <= _SHORT


def _check_each(raw: RawEvent, types: EventTypes, limits: Limits, now_us: int) -> None:
    """The rules, one by one; raises Dead at the first that is broken."""
    event_id, user_id, item_id, event_type, time_us, value, session_id, request_id, _, surface, attributes, _ = raw
    check_id("event_id", event_id)
    check_id("user_id", user_id)
    check_id("item_id", item_id)
    check_size("session_id", session_id, MAX_WORD_BYTES)
    check_size("request_id", request_id, MAX_WORD_BYTES)
    check_size("surface", surface, MAX_WORD_BYTES)
    if event_type not in types.by_name:
        raise Dead(DeadReason.UNKNOWN_TYPE, f"type {event_type[:MAX_WORD_BYTES]!r} is not declared in the settings")
    if value is not None and not math.isfinite(value):
        raise Dead(DeadReason.INVALID_FIELD, "value is not a finite number")
    check_time("event_time", time_us, limits, now_us)
    check_attributes(attributes)


def _from_json(value: bytes) -> RawEvent:
    plain = read_plain_json(value)
    if plain is not None:
        return plain
    known, unknown_fields = part_known_from_unknown(value)
    return _raw(parse_value(known, event_pb2.Event, as_json=True), unknown_fields)


def _from_protobuf(value: bytes) -> RawEvent:
    message = parse_value(value, event_pb2.Event, as_json=False)
    return _raw(message, _unknown_fields(message) if len(UnknownFieldSet(message)) else "")


def _raw(message: event_pb2.Event, unknown_fields: str) -> RawEvent:
    attributes, number, position, stamp = message.attributes, message.value, message.position, message.event_time
    seconds, nanos = stamp.seconds, stamp.nanos
    is_plain = seconds > 0 and 0 <= nanos < 1_000_000_000
    return (
        message.event_id,
        message.user_id,
        message.item_id,
        message.type,
        seconds * 1_000_000 + nanos // 1_000 if is_plain else moment_us("event_time", message),
        number if number or message.HasField("value") else None,
        message.session_id,
        message.request_id,
        position if position or message.HasField("position") else None,
        message.surface,
        {name: attributes[name] for name in attributes},
        unknown_fields,
    )


def _unknown_fields(message: event_pb2.Event) -> str:
    rest = event_pb2.Event.FromString(message.SerializeToString())
    for field in event_pb2.Event.DESCRIPTOR.fields:
        rest.ClearField(field.name)  # type: ignore[arg-type]  # the stub lists the names
    return json.dumps({"protobuf": base64.b64encode(rest.SerializeToString()).decode()})
