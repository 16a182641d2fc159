"""What the codecs of events, items and users share: parsing a record by its content type, and the common checks.

Protobuf or proto3 JSON, told apart by the record's content type; JSON when it names none. Unknown fields are carried
over in silence, so that an older reader never refuses a newer producer.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, TypeVar

from google.protobuf import json_format
from google.protobuf.message import DecodeError, Message
from google.protobuf.timestamp_pb2 import Timestamp

from services.domain.ids import id_problem
from services.domain.streams import DeadLetter, DeadReason, Record

JSON_TYPES: Final = frozenset({"", "application/json"})
PROTOBUF_TYPES: Final = frozenset({"application/x-protobuf", "application/protobuf", "application/vnd.google.protobuf"})

MAX_ATTRIBUTES: Final = 32
MAX_ATTRIBUTE_BYTES: Final = 1_024
MAX_CATEGORIES: Final = 64
MAX_TEXT_BYTES: Final = 1_024
MAX_WORD_BYTES: Final = 256

END_OF_TIME_US: Final = 253_402_300_800_000_000  # the first moment of the year 10000: beyond it no date has a name

M = TypeVar("M", bound=Message)
T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Limits:
    """What a record may not exceed: its size in bytes, and how far ahead of now its time may lie, in microseconds."""

    max_record_bytes: int
    max_future_us: int


class Dead(Exception):
    def __init__(self, reason: DeadReason, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason
        self.detail = detail


def or_dead(record: Record, decode: Callable[[], T]) -> T | DeadLetter:
    try:
        return decode()
    except Dead as dead:
        return DeadLetter(record, dead.reason, dead.detail)


def parse(record: Record, message_type: type[M], limits: Limits) -> M:
    value = value_of(record, limits)
    return parse_value(value, message_type, as_json=is_json(record.content_type))


def parse_value(value: bytes, message_type: type[M], *, as_json: bool) -> M:
    try:
        if as_json:
            return json_format.Parse(value, message_type(), ignore_unknown_fields=True)
        return message_type.FromString(value)
    except (json_format.ParseError, DecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise Dead(DeadReason.MALFORMED, f"not a {message_type.DESCRIPTOR.name}: {error}") from error


def value_of(record: Record, limits: Limits) -> bytes:
    """The record's bytes, if there are any and not too many."""
    if record.value is None:
        raise Dead(DeadReason.MALFORMED, "the record has no value")
    if len(record.value) > limits.max_record_bytes:
        raise Dead(DeadReason.OVERSIZED, f"the record has {len(record.value)} bytes, at most {limits.max_record_bytes}")
    return record.value


@lru_cache(maxsize=64)  # a producer says the same words in every record; larger: more room for nonsense
def is_json(content_type: str) -> bool:
    """True for JSON, False for protobuf."""
    essence = content_type.partition(";")[0].strip().lower()
    if essence in JSON_TYPES:
        return True
    if essence in PROTOBUF_TYPES:
        return False
    raise Dead(DeadReason.UNSUPPORTED_CONTENT_TYPE, f"content-type {content_type!r} is neither JSON nor protobuf")


def check_id(field: str, value: str) -> None:
    problem = id_problem(value)
    if problem is not None:
        raise Dead(DeadReason.INVALID_FIELD, f"{field} {problem}")


def check_size(field: str, value: str, max_bytes: int) -> None:
    if 4 * len(value) > max_bytes and len(value.encode()) > max_bytes:
        raise Dead(DeadReason.INVALID_FIELD, f"{field} is longer than {max_bytes} bytes")


def attributes_of(attributes: Mapping[str, str]) -> dict[str, str]:
    check_attributes(attributes)
    return dict(attributes)


def check_attributes(attributes: Mapping[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise Dead(DeadReason.INVALID_FIELD, f"attributes has {len(attributes)} entries, at most {MAX_ATTRIBUTES}")
    for name, value in attributes.items():
        if (
            4 * (len(name) + len(value)) > MAX_ATTRIBUTE_BYTES
            and len(name.encode()) + len(value.encode()) > MAX_ATTRIBUTE_BYTES
        ):
            raise Dead(DeadReason.INVALID_FIELD, f"an attribute is longer than {MAX_ATTRIBUTE_BYTES} bytes")


def time_us_of(field: str, message: Message, limits: Limits, now_us: int) -> int:
    """A field's time in microseconds since 1970, if it is one that a record may have."""
    return check_time(field, moment_us(field, message), limits, now_us)


def moment_us(field: str, message: Message) -> int | None:
    """A field's time in microseconds since 1970, -1 when it is none; None when the field is unset."""
    stamp: Timestamp = getattr(message, field)
    seconds, nanos = stamp.seconds, stamp.nanos
    if seconds == nanos == 0 and not message.HasField(field):
        return None
    return seconds * 1_000_000 + nanos // 1_000 if 0 <= nanos < 1_000_000_000 else -1


def check_time(field: str, time_us: int | None, limits: Limits, now_us: int) -> int:
    if time_us is None:
        raise Dead(DeadReason.INVALID_FIELD, f"{field} is missing")
    check_calendar(field, time_us)
    if time_us > now_us + limits.max_future_us:
        raise Dead(
            DeadReason.FUTURE_TIME, f"{field} lies {(time_us - now_us) / 1e6:.0f} s ahead of this machine's clock"
        )
    return time_us


def check_calendar(field: str, time_us: int) -> None:
    if not 0 <= time_us < END_OF_TIME_US:
        raise Dead(DeadReason.INVALID_FIELD, f"{field} lies before 1970, or is no time")
