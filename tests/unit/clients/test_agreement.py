"""The SDK and the server read the contract alike: nothing passes a producer's check and ends as a dead letter."""

from collections.abc import Callable
from typing import Any

import pytest
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import assume, given
from hypothesis import strategies as st

from nightjar import InvalidField
from nightjar.v1 import event_pb2, item_pb2, user_pb2
from nightjar.validation import check_event, check_item, check_user
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.interactions import Interaction
from services.domain.items import Item
from services.domain.streams import DeadLetter, DeadReason, Record
from services.domain.users import User
from services.ingest.codec import Limits, decode_event, decode_item, decode_user
from services.settings import IngestSettings
from tests.fakes.streams import PARTITION

NOW_US = 1_769_904_000_000_000  # 2026-02-01
LIMITS = Limits(IngestSettings().max_record_bytes, max_future_us=86_400_000_000)
ONLY_THE_SERVER_KNOWS = {DeadReason.UNKNOWN_TYPE, DeadReason.FUTURE_TIME}
TODAY = Timestamp(seconds=NOW_US // 10**6)
EVENT: dict[str, Any] = {"event_id": "e", "user_id": "u", "item_id": "i", "type": "view", "event_time": TODAY}
ITEM: dict[str, Any] = {"item_id": "i", "update_time": TODAY}
USER: dict[str, Any] = {"user_id": "u", "update_time": TODAY}

# Each strategy reaches both sides of a limit.
letters = st.characters(codec="utf-8")
words = st.text(letters, max_size=10) | st.builds(str.__mul__, letters, st.sampled_from([64, 85, 128, 256, 257]))
attributes = st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.just("x" * 1_021), max_size=33)
moments = st.builds(
    Timestamp,
    seconds=st.sampled_from([-1, 0, 253_402_300_799, 253_402_300_800]) | st.integers(-(10**6), NOW_US // 10**6),
    nanos=st.sampled_from([-1, 0, 999_999_999, 1_000_000_000]),
)
# Edges of a window, so near to one another that only the server's microseconds tell them apart.
edges = st.builds(Timestamp, seconds=st.just(1_700_000_000), nanos=st.sampled_from([0, 1, 999, 1_000, 1_001, 2_000]))
event_changes = {
    **dict.fromkeys(("event_id", "user_id", "item_id", "type", "session_id", "request_id", "surface"), words),
    "event_time": moments,
    "value": st.floats(),
    "position": st.integers(0, 2**32 - 1),
    "attributes": attributes,
}
item_changes = {
    "item_id": words,
    "title": words | st.sampled_from(["x" * 1_024, "x" * 1_025]),
    "categories": st.lists(words, max_size=2) | st.lists(st.just("c"), min_size=63, max_size=65),
    "attributes": attributes,
    "update_time": moments,
    "description": words | st.sampled_from(["x" * 8_192, "x" * 8_193, "ü" * 4_097]),
    "tags": st.lists(words, max_size=2) | st.lists(st.just("t"), min_size=63, max_size=65),
    "price": st.builds(
        item_pb2.Price,
        currency_code=st.sampled_from(["EUR", "eur", "", "EURO", "ÄÖÜ", "USD"]),
        units=st.integers(-1, 2**63 - 1),
        nanos=st.sampled_from([-1, 0, 999_999_999, 1_000_000_000]),
    ),
    "available_from_time": moments | edges,
    "available_until_time": moments | edges,
    "hidden": st.booleans(),
    "embedding": st.lists(st.floats(width=32), max_size=3) | st.integers(4_095, 4_097).map(lambda n: [0.5] * n),
}
user_changes: dict[str, st.SearchStrategy[Any]] = {"user_id": words, "attributes": attributes, "update_time": moments}


def any_one(changes: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    return st.one_of([st.fixed_dictionaries({name: strategy}) for name, strategy in changes.items()])


def any_two(changes: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Up to two fields set to something unusual: with all of them so, hardly anything would be accepted."""
    return st.builds(dict.__or__, any_one(changes), any_one(changes))


@given(any_two(event_changes))
def test_an_event_that_the_sdk_accepts_is_accepted_by_the_server(changes: dict[str, Any]) -> None:
    """Apart from what only the server knows: which types are declared, and how far ahead a time may lie."""
    message = event_pb2.Event(**EVENT | changes)
    _assume_accepted(lambda: check_event(message))
    decoded = decode_event(_record(message), DEFAULT_EVENT_TYPES, LIMITS, NOW_US)
    assert isinstance(decoded, Interaction) or _only_the_server_knows(decoded)


@given(any_two(item_changes))
def test_an_item_that_the_sdk_accepts_is_accepted_by_the_server(changes: dict[str, Any]) -> None:
    _agree_on_item(changes)


@given(st.fixed_dictionaries({"available_from_time": edges, "available_until_time": edges}))
def test_a_window_that_the_sdk_accepts_is_accepted_by_the_server(changes: dict[str, Any]) -> None:
    _agree_on_item(changes)


def _agree_on_item(changes: dict[str, Any]) -> None:
    message = item_pb2.Item(**ITEM | changes)
    _assume_accepted(lambda: check_item(message))
    decoded = decode_item(_record(message), LIMITS, NOW_US)
    assert isinstance(decoded, Item) or _only_the_server_knows(decoded)


def test_an_item_as_large_as_the_sdk_lets_through_is_accepted_by_the_server() -> None:
    """Each field may be within its bound and the whole too large."""
    message = item_pb2.Item(**ITEM, categories=["c" * 256] * 64, embedding=[0.5] * 4_096, description="d" * 8_192)
    message.attributes.update({f"{number:02}": "x" * 1_000 for number in range(20)})
    message.tags.extend(["t" * 200] * 19)
    message.title = "t" * (LIMITS.max_record_bytes - message.ByteSize() - 3)
    assert message.ByteSize() == LIMITS.max_record_bytes
    check_item(message)
    assert isinstance(decode_item(_record(message), LIMITS, NOW_US), Item)
    message.title += "t"
    with pytest.raises(InvalidField, match="at most 65536"):
        check_item(message)
    assert isinstance(decode_item(_record(message), LIMITS, NOW_US), DeadLetter)


@given(any_one(user_changes))
def test_a_user_that_the_sdk_accepts_is_accepted_by_the_server(changes: dict[str, Any]) -> None:
    message = user_pb2.User(**USER | changes)
    _assume_accepted(lambda: check_user(message))
    decoded = decode_user(_record(message, message.user_id.encode()), LIMITS, NOW_US)
    assert isinstance(decoded, User) or _only_the_server_knows(decoded)


def _assume_accepted(check: Callable[[], None]) -> None:
    """Hypothesis fails the test when hardly anything is accepted."""
    try:
        check()
    except InvalidField:
        assume(False)


def _record(message: Message, key: bytes | None = None) -> Record:
    return Record(PARTITION, 0, message.SerializeToString(), "application/x-protobuf", key)


def _only_the_server_knows(decoded: object) -> bool:
    assert isinstance(decoded, DeadLetter)
    assert decoded.reason in ONLY_THE_SERVER_KNOWS, decoded.detail
    return True
