"""The contract's rules, checked before a record leaves the process: a mistake raises here, not in the dead letters.

Whether a type is declared and how far a time may lie in the future are the operator's settings: only the server knows.
"""

import math
import re
from collections.abc import Mapping, Sequence
from typing import Final

from google.protobuf.timestamp_pb2 import Timestamp

from nightjar.errors import InvalidField
from nightjar.v1 import event_pb2, item_pb2, user_pb2

MAX_ID_BYTES: Final = 256
MAX_TITLE_BYTES: Final = 1_024
MAX_DESCRIPTION_BYTES: Final = 8_192
MAX_CATEGORIES: Final = 64
MAX_TAGS: Final = 64
MAX_EMBEDDING: Final = 4_096
MAX_ITEM_BYTES: Final = 65_536  # of any record, as the server is set when nobody changes it
CURRENCY_CODE: Final = re.compile("[A-Z]{3}")
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
    _check_size("description", item.description, MAX_DESCRIPTION_BYTES)
    _check_words("categories", item.categories, MAX_CATEGORIES)
    _check_words("tags", item.tags, MAX_TAGS)
    _check_attributes(item.attributes)
    if item.HasField("price"):
        _check_price(item.price)
    _check_window(item)
    if len(item.embedding) > MAX_EMBEDDING:
        raise InvalidField("embedding", f"has {len(item.embedding)} numbers; at most {MAX_EMBEDDING} are allowed")
    if not all(map(math.isfinite, item.embedding)):
        raise InvalidField("embedding", "holds a number that is not finite")
    if (size_bytes := item.ByteSize()) > MAX_ITEM_BYTES:
        raise InvalidField("record", f"has {size_bytes} bytes in all; at most {MAX_ITEM_BYTES} are allowed")


def check_user(user: user_pb2.User) -> None:
    """Raises InvalidField, naming the first field that breaks the contract."""
    check_id("user_id", user.user_id)
    _check_time("update_time", user.update_time, is_set=user.HasField("update_time"))
    _check_attributes(user.attributes)


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


def _check_window(item: item_pb2.Item) -> None:
    start, end = item.available_from_time, item.available_until_time
    if item.HasField("available_from_time"):
        _check_time("available_from_time", start, is_set=True)
    if item.HasField("available_until_time"):
        _check_time("available_until_time", end, is_set=True)
        is_after = (end.seconds, end.nanos // 1_000) > (start.seconds, start.nanos // 1_000)
        if item.HasField("available_from_time") and not is_after:
            raise InvalidField("available_until_time", "is not later than available_from_time")


def _check_price(price: item_pb2.Price) -> None:
    if not CURRENCY_CODE.fullmatch(price.currency_code):
        raise InvalidField("price", f"has the currency {price.currency_code!r}, not three capital letters such as EUR")
    if price.units < 0 or not 0 <= price.nanos < 1_000_000_000:
        raise InvalidField("price", "is below 0, or its nanos are not within 0 to 999,999,999")


def _check_words(field: str, words: Sequence[str], max_words: int) -> None:
    if len(words) > max_words:
        raise InvalidField(field, f"has {len(words)} entries; at most {max_words} are allowed")
    for word in words:
        _check_size(field, word, MAX_ID_BYTES)


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
