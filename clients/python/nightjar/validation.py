"""The contract's rules, checked before a record leaves the process: a mistake raises here, not in the dead letters.

Whether a type is declared and how far a time may lie in the future are the operator's settings: only the server knows.
"""

import math
from collections.abc import Mapping
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from nightjar.errors import InvalidField
from nightjar.v1 import event_pb2, item_pb2

MAX_ID_BYTES: Final = 256
MAX_TITLE_BYTES: Final = 1_024
MAX_CATEGORIES: Final = 64
MAX_ATTRIBUTES: Final = 32
MAX_ATTRIBUTE_BYTES: Final = 1_024
MAX_TIME_S: Final = 253_402_300_799  # the last second of the year 9999, where Timestamp ends
MIN_TIME_S: Final = 0  # the first second of 1970: nothing to recommend from is older, a broken clock is


def check_event(event: event_pb2.Event) -> None:
    """Raises InvalidField, naming the first field that breaks the contract."""
    check_id("event_id", event.event_id)
    check_id("user_id", event.user_id)
    check_id("item_id", event.item_id)
    check_id("type", event.type)
    _check_time("event_time", event.event_time, is_set=event.HasField("event_time"))
    if event.HasField("value") and not math.isfinite(event.value):
        raise InvalidField("value", f"is {event.value}; it must be a finite number, or unset")
    _check_size("session_id", event.session_id, MAX_ID_BYTES)
    _check_size("request_id", event.request_id, MAX_ID_BYTES)
    _check_size("surface", event.surface, MAX_ID_BYTES)
    if event.attributes:
        _check_attributes(event.attributes)


def check_item(item: item_pb2.Item) -> None:
    """Raises InvalidField, naming the first field that breaks the contract."""
    check_id("item_id", item.item_id)
    _check_time("update_time", item.update_time, is_set=item.HasField("update_time"))
    _check_size("title", item.title, MAX_TITLE_BYTES)
    if len(item.categories) > MAX_CATEGORIES:
        raise InvalidField("categories", f"has {len(item.categories)} entries; at most {MAX_CATEGORIES} are allowed")
    for category in item.categories:
        _check_size("categories", category, MAX_ID_BYTES)
    _check_attributes(item.attributes)


def check_id(field: str, value: str) -> None:
    """Raises InvalidField unless the value is 1 to 256 bytes of UTF-8 without control characters."""
    if 0 < len(value) <= MAX_ID_BYTES // 4 and value.isprintable():
        return  # the common case, decided without encoding: no character takes more than 4 bytes
    if not value:
        raise InvalidField(field, "is empty")
    _check_size(field, value, MAX_ID_BYTES)
    if any(ord(char) < 0x20 or ord(char) == 0x7F for char in value):
        raise InvalidField(field, "holds a control character")


def _check_time(field: str, moment: Timestamp, *, is_set: bool) -> None:
    if not is_set:
        raise InvalidField(field, "is not set")
    if not MIN_TIME_S <= moment.seconds <= MAX_TIME_S or not 0 <= moment.nanos < 1_000_000_000:
        raise InvalidField(field, "lies before 1970 or after the year 9999")


def _check_size(field: str, value: str, max_bytes: int) -> None:
    if not value:
        return
    size_bytes = len(value.encode("utf-8", "surrogatepass"))
    if size_bytes > max_bytes:
        raise InvalidField(field, f"has {size_bytes} bytes; at most {max_bytes} are allowed")


def _check_attributes(attributes: Mapping[str, str]) -> None:
    if len(attributes) > MAX_ATTRIBUTES:
        raise InvalidField("attributes", f"has {len(attributes)} entries; at most {MAX_ATTRIBUTES} are allowed")
    for key, value in attributes.items():
        _check_size("attributes", key + value, MAX_ATTRIBUTE_BYTES)
