"""The SDK and the server read the contract alike: nothing passes a producer's check and ends as a dead letter."""

from collections.abc import Callable
from typing import Any

from google.protobuf.timestamp_pb2 import Timestamp
from hypothesis import assume, given
from hypothesis import strategies as st

from nightjar import InvalidField
from nightjar.v1 import event_pb2, item_pb2
from nightjar.validation import check_event, check_item
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.interactions import Interaction
from services.domain.items import Item
from services.domain.streams import DeadLetter, DeadReason, Record
from services.ingest.codec import Limits, decode_event, decode_item
from services.settings import IngestSettings
from tests.fakes.streams import PARTITION

NOW_US = 1_769_904_000_000_000  # 2026-02-01
LIMITS = Limits(IngestSettings().max_record_bytes, max_future_us=86_400_000_000)
ONLY_THE_SERVER_KNOWS = {DeadReason.UNKNOWN_TYPE, DeadReason.FUTURE_TIME}
TODAY = Timestamp(seconds=NOW_US // 10**6)
EVENT: dict[str, Any] = {"event_id": "e", "user_id": "u", "item_id": "i", "type": "view", "event_time": TODAY}
ITEM: dict[str, Any] = {"item_id": "i", "update_time": TODAY}

# Each strategy reaches both sides of a limit.
letters = st.characters(codec="utf-8")
words = st.text(letters, max_size=10) | st.builds(str.__mul__, letters, st.sampled_from([64, 85, 128, 256, 257]))
attributes = st.dictionaries(st.text(max_size=3), st.text(max_size=5) | st.just("x" * 1_021), max_size=33)
moments = st.builds(
    Timestamp,
    seconds=st.sampled_from([-1, 0, 253_402_300_799, 253_402_300_800]) | st.integers(-(10**6), NOW_US // 10**6),
    nanos=st.sampled_from([-1, 0, 999_999_999, 1_000_000_000]),
)
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
}


def any_two(changes: dict[str, st.SearchStrategy[Any]]) -> st.SearchStrategy[dict[str, Any]]:
    """Up to two fields set to something unusual: with all of them so, hardly anything would be accepted."""
    one = st.one_of([st.fixed_dictionaries({name: strategy}) for name, strategy in changes.items()])
    return st.builds(dict.__or__, one, one)


@given(any_two(event_changes))
def test_an_event_that_the_sdk_accepts_is_accepted_by_the_server(changes: dict[str, Any]) -> None:
    """Apart from what only the server knows: which types are declared, and how far ahead a time may lie."""
    message = event_pb2.Event(**EVENT | changes)
    _assume_accepted(lambda: check_event(message))
    decoded = decode_event(_record(message), DEFAULT_EVENT_TYPES, LIMITS, NOW_US)
    assert isinstance(decoded, Interaction) or _only_the_server_knows(decoded)


@given(any_two(item_changes))
def test_an_item_that_the_sdk_accepts_is_accepted_by_the_server(changes: dict[str, Any]) -> None:
    message = item_pb2.Item(**ITEM | changes)
    _assume_accepted(lambda: check_item(message))
    decoded = decode_item(_record(message), LIMITS, NOW_US)
    assert isinstance(decoded, Item) or _only_the_server_knows(decoded)


def _assume_accepted(check: Callable[[], None]) -> None:
    """Hypothesis fails the test when hardly anything is accepted."""
    try:
        check()
    except InvalidField:
        assume(False)


def _record(message: event_pb2.Event | item_pb2.Item) -> Record:
    return Record(PARTITION, 0, message.SerializeToString(), "application/x-protobuf")


def _only_the_server_knows(decoded: DeadLetter) -> bool:
    assert decoded.reason in ONLY_THE_SERVER_KNOWS, decoded.detail
    return True
