"""The edge: bytes of a record to a validated interaction or item, or the reason why it is dead.

Protobuf or proto3 JSON, told apart by the record's content type; JSON when it names none. Unknown fields are carried
over in silence, so that an older reader never refuses a newer producer.
"""

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from nightjar.v1 import event_pb2, item_pb2
from services.domain.ids import EventId, ItemId, UserId, id_problem
from services.domain.interactions import EventTypes, Interaction, Item
from services.domain.streams import DeadLetter, DeadReason, Record

JSON_TYPES: Final = frozenset({"", "application/json"})
PROTOBUF_TYPES: Final = frozenset({"application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf"})

MAX_ATTRIBUTES: Final = 32
MAX_ATTRIBUTE_BYTES: Final = 1_024
MAX_CATEGORIES: Final = 64
MAX_TEXT_BYTES: Final = 1_024
MAX_WORD_BYTES: Final = 256

_MAX_EVENT_TIME_S: Final = 253_402_300_800  # the first second of the year 10000: beyond it no date has a name

M = TypeVar("M", bound=Message)


@dataclass(frozen=True, slots=True)
class Limits:
    """What a record may not exceed: its size in bytes, and how far ahead of now its time may lie, in microseconds."""

    max_record_bytes: int
    max_future_us: int


class _Dead(Exception):
    def __init__(self, reason: DeadReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def decode_event(record: Record, types: EventTypes, limits: Limits, now_us: int) -> Interaction | DeadLetter:
    """Never raises for anything a record may hold."""
    return _or_dead(record, lambda: _event(record, types, limits, now_us))


def decode_item(record: Record, limits: Limits, now_us: int) -> Item | DeadLetter:
    """Never raises for anything a record may hold."""
    return _or_dead(record, lambda: _item(record, limits, now_us))


T = TypeVar("T")


def _or_dead(record: Record, decode: Callable[[], T]) -> T | DeadLetter:
    try:
        return decode()
    except _Dead as dead:
        return DeadLetter(record, dead.reason, dead.detail)


def _event(record: Record, types: EventTypes, limits: Limits, now_us: int) -> Interaction:
    message = _parse(record, event_pb2.Event, limits)
    _check_id("event_id", message.event_id)
    _check_id("user_id", message.user_id)
    _check_id("item_id", message.item_id)
    if types.get(message.type) is None:
        raise _Dead(DeadReason.UNKNOWN_TYPE, f"type {message.type[:MAX_WORD_BYTES]!r} is not declared in the settings")
    value = message.value if message.HasField("value") else None
    if value is not None and not math.isfinite(value):
        raise _Dead(DeadReason.INVALID_FIELD, "value is not a finite number")
    for field in ("session_id", "request_id", "surface"):
        _check_size(field, getattr(message, field), MAX_WORD_BYTES)
    return Interaction(
        event_id=EventId(message.event_id),
        user_id=UserId(message.user_id),
        item_id=ItemId(message.item_id),
        event_type=message.type,
        event_time_us=_time_us("event_time", message, limits, now_us),
        value=value,
        session_id=message.session_id,
        request_id=message.request_id,
        position=message.position if message.HasField("position") else None,
        surface=message.surface,
        attributes=_attributes(message.attributes),
    )


def _item(record: Record, limits: Limits, now_us: int) -> Item:
    message = _parse(record, item_pb2.Item, limits)
    _check_id("item_id", message.item_id)
    _check_size("title", message.title, MAX_TEXT_BYTES)
    if len(message.categories) > MAX_CATEGORIES:
        raise _Dead(DeadReason.INVALID_FIELD, f"categories has {len(message.categories)}, at most {MAX_CATEGORIES}")
    for category in message.categories:
        _check_size("categories", category, MAX_WORD_BYTES)
    return Item(
        item_id=ItemId(message.item_id),
        title=message.title,
        categories=tuple(message.categories),
        attributes=_attributes(message.attributes),
        update_time_us=_time_us("update_time", message, limits, now_us),
    )


def _parse(record: Record, message_type: type[M], limits: Limits) -> M:
    if record.value is None:
        raise _Dead(DeadReason.MALFORMED, "the record has no value")
    if len(record.value) > limits.max_record_bytes:
        raise _Dead(
            DeadReason.OVERSIZED, f"the record has {len(record.value)} bytes, at most {limits.max_record_bytes}"
        )
    content_type = record.content_type.partition(";")[0].strip().lower()
    try:
        if content_type in JSON_TYPES:
            return json_format.Parse(record.value, message_type(), ignore_unknown_fields=True)
        if content_type in PROTOBUF_TYPES:
            return message_type.FromString(record.value)
    except (json_format.ParseError, DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise _Dead(DeadReason.MALFORMED, f"not a {message_type.DESCRIPTOR.name}: {error}") from error
    raise _Dead(
        DeadReason.UNSUPPORTED_CONTENT_TYPE, f"content-type {record.content_type!r} is neither JSON nor protobuf"
    )


def _check_id(field: str, value: str) -> None:
    problem = id_problem(value)
    if problem is not None:
        raise _Dead(DeadReason.INVALID_FIELD, f"{field} {problem}")


def _check_size(field: str, value: str, max_bytes: int) -> None:
    if len(value.encode()) > max_bytes:
        raise _Dead(DeadReason.INVALID_FIELD, f"{field} is longer than {max_bytes} bytes")


def _attributes(attributes: Mapping[str, str]) -> dict[str, str]:
    if len(attributes) > MAX_ATTRIBUTES:
        raise _Dead(DeadReason.INVALID_FIELD, f"attributes has {len(attributes)} entries, at most {MAX_ATTRIBUTES}")
    for name, value in attributes.items():
        if len(name.encode()) + len(value.encode()) > MAX_ATTRIBUTE_BYTES:
            raise _Dead(DeadReason.INVALID_FIELD, f"an attribute is longer than {MAX_ATTRIBUTE_BYTES} bytes")
    return dict(attributes)


def _time_us(field: str, message: Message, limits: Limits, now_us: int) -> int:
    if not message.HasField(field):
        raise _Dead(DeadReason.INVALID_FIELD, f"{field} is missing")
    stamp: Timestamp = getattr(message, field)
    if not (0 <= stamp.seconds < _MAX_EVENT_TIME_S and 0 <= stamp.nanos < 1_000_000_000):
        raise _Dead(DeadReason.INVALID_FIELD, f"{field} lies before 1970, or is no time")
    time_us = stamp.seconds * 1_000_000 + stamp.nanos // 1_000
    if time_us > now_us + limits.max_future_us:
        raise _Dead(
            DeadReason.FUTURE_TIME, f"{field} lies {(time_us - now_us) / 1e6:.0f} s ahead of this machine's clock"
        )
    return time_us
