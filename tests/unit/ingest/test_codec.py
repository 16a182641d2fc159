"""What a record becomes: an interaction, or a dead letter with a reason; never an exception."""

import json
from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightjar.v1 import event_pb2, item_pb2
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.items import Item
from services.domain.streams import DeadLetter, DeadReason, Record
from services.ingest.codec import Limits, decode_event, decode_item
from tests.fakes.streams import PARTITION, event_json

NOW_US = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp() * 1e6)
DAY_US = 86_400_000_000
LIMITS = Limits(max_record_bytes=4_096, max_future_us=DAY_US)


def decode(value: bytes | None, content_type: str = "") -> Interaction | DeadLetter:
    return decode_event(Record(PARTITION, 7, value, content_type), DEFAULT_EVENT_TYPES, LIMITS, NOW_US)


def test_json_without_a_header_is_understood() -> None:
    decoded = decode(event_json("e1", value=4.5, position=0, attributes={"page": "home"}))
    assert isinstance(decoded, Interaction)
    assert (decoded.user_id, decoded.item_id, decoded.event_type, decoded.value) == ("ada", "book", "view", 4.5)
    assert decoded.event_time_us == int(datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC).timestamp() * 1e6)
    assert decoded.position == 0
    assert decoded.attributes == {"page": "home"}


def test_protobuf_and_json_of_one_event_decode_alike() -> None:
    message = event_pb2.Event(event_id="e", user_id="u", item_id="i", type="rating", value=3.0)
    message.event_time.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    as_json = event_json("e", userId="u", itemId="i", type="rating", value=3.0, eventTime="2026-01-01T00:00:00Z")
    as_protobuf = decode(message.SerializeToString(), "application/x-protobuf")
    assert as_protobuf == decode(as_json, "application/json; charset=utf-8")
    assert isinstance(as_protobuf, Interaction)


def test_a_field_of_a_newer_producer_is_no_fault() -> None:
    assert isinstance(decode(event_json("e1", fieldOfTomorrow={"a": 1})), Interaction)


@pytest.mark.parametrize(
    ("value", "content_type", "reason", "hint"),
    [
        (None, "", DeadReason.MALFORMED, "no value"),
        (b"", "", DeadReason.MALFORMED, "Event"),
        (b"{", "", DeadReason.MALFORMED, "Event"),
        (b"[]", "", DeadReason.INVALID_FIELD, "event_id is empty"),
        (b"\xff\xfe", "", DeadReason.MALFORMED, "Event"),
        (b"[" * 3_000, "", DeadReason.MALFORMED, "Event"),
        (b"\x07nonsense", "application/x-protobuf", DeadReason.MALFORMED, "Event"),
        (b"<event/>", "text/xml", DeadReason.UNSUPPORTED_CONTENT_TYPE, "text/xml"),
        (event_json("e", surface="x" * 5_000), "", DeadReason.OVERSIZED, "4096"),
        (event_json("e", userId=None), "", DeadReason.INVALID_FIELD, "user_id is empty"),
        (event_json(""), "", DeadReason.INVALID_FIELD, "event_id is empty"),
        (event_json("e", itemId="a\x00b"), "", DeadReason.INVALID_FIELD, "item_id holds a control character"),
        (event_json("e", itemId="i" * 257), "", DeadReason.INVALID_FIELD, "item_id has 257 bytes"),
        (event_json("e", value="NaN"), "", DeadReason.INVALID_FIELD, "value"),
        (event_json("e", eventTime=None), "", DeadReason.INVALID_FIELD, "event_time is missing"),
        (event_json("e", eventTime="1950-01-01T00:00:00Z"), "", DeadReason.INVALID_FIELD, "event_time"),
        (event_json("e", eventTime="2026-02-02T00:00:01Z"), "", DeadReason.FUTURE_TIME, "86401 s"),
        (event_json("e", type="teleport"), "", DeadReason.UNKNOWN_TYPE, "teleport"),
        (event_json("e", type=None), "", DeadReason.UNKNOWN_TYPE, "''"),
        (event_json("e", attributes={str(n): "" for n in range(33)}), "", DeadReason.INVALID_FIELD, "33"),
        (event_json("e", sessionId="s" * 257), "", DeadReason.INVALID_FIELD, "session_id"),
    ],
)
def test_a_bad_record_dies_with_its_reason(value: bytes, content_type: str, reason: DeadReason, hint: str) -> None:
    decoded = decode(value, content_type)
    assert isinstance(decoded, DeadLetter)
    assert decoded.reason is reason
    assert hint in decoded.detail
    assert decoded.record.offset == 7


def test_a_time_just_within_a_day_ahead_is_accepted() -> None:
    assert isinstance(decode(event_json("e", eventTime="2026-02-02T00:00:00Z")), Interaction)


@given(st.binary(max_size=200), st.sampled_from(["", "application/json", "application/x-protobuf", "x/y", "\xff"]))
def test_no_bytes_raise(value: bytes, content_type: str) -> None:
    assert isinstance(decode(value, content_type), Interaction | DeadLetter)


ids = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)


@given(ids, ids, ids, st.none() | st.floats(allow_nan=False, allow_infinity=False), st.integers(0, NOW_US))
def test_an_event_survives_protobuf(
    event_id: str, user_id: str, item_id: str, value: float | None, time_us: int
) -> None:
    message = event_pb2.Event(event_id=event_id, user_id=user_id, item_id=item_id, type="view", value=value)
    message.event_time.FromMicroseconds(time_us)
    decoded = decode(message.SerializeToString(), "application/x-protobuf")
    assert decoded == Interaction(EventId(event_id), UserId(user_id), ItemId(item_id), "view", time_us, value)


def test_an_item_is_decoded_with_titles_and_categories() -> None:
    value = {"itemId": "1", "title": "Night", "categories": ["Noir"], "updateTime": "2026-01-01T00:00:00Z"}
    decoded = decode_item(Record(PARTITION, 0, json.dumps(value).encode()), LIMITS, NOW_US)
    assert isinstance(decoded, Item)
    assert (decoded.item_id, decoded.title, decoded.categories) == ("1", "Night", ("Noir",))


@pytest.mark.parametrize(
    "fields", [{"item_id": ""}, {"title": "t" * 1_025}, {"categories": ["c"] * 65}, {"categories": ["c" * 257]}]
)
def test_a_bad_item_dies(fields: dict[str, object]) -> None:
    message = item_pb2.Item(**({"item_id": "1"} | fields))  # type: ignore[arg-type]
    message.update_time.FromDatetime(datetime(2026, 1, 1, tzinfo=UTC))
    record = Record(PARTITION, 0, message.SerializeToString(), "application/x-protobuf")
    decoded = decode_item(record, LIMITS, NOW_US)
    assert isinstance(decoded, DeadLetter)
    assert decoded.reason is DeadReason.INVALID_FIELD
