"""Events in JSON: the fast reader says what the protobuf library says, or leaves the word to it."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nightjar.v1 import event_pb2
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.interactions import Interaction
from services.domain.streams import DeadLetter, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.codec.plain_json import part_known_from_unknown, read_plain_json
from tests.fakes.streams import PARTITION, event_json

NOW_US = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp() * 1e6)
LIMITS = Limits(max_record_bytes=65_536, max_future_us=86_400_000_000)


def decode(value: bytes, content_type: str = "") -> Interaction | DeadLetter:
    return decode_event(Record(PARTITION, 0, value, content_type), DEFAULT_EVENT_TYPES, LIMITS, NOW_US)


text = st.text(max_size=12)
names = st.sampled_from(
    ["eventId", "event_id", "userId", "user_id", "itemId", "item_id", "type", "surface", "sessionId", "request_id"]
)
times = st.sampled_from(
    [
        "2026-01-02T03:04:05Z",
        "2026-01-02T03:04:05.6Z",
        "2026-01-02T03:04:05.678901234Z",
        "2026-01-02T03:04:05.678901999Z",
        "2026-01-02T03:04:05+02:00",
        "2026-01-02T03:04:05,5Z",
        "2026-W01-1T03:04:05Z",
        "20260102T030405.000Z",
        "2026-01-02T030405.1Z",
        "2026-01-02T03:0405.12Z",
        "2026-01-02T0304:05.12Z",
        "2026-01-02T03-04-05Z",
        "2026-01-02T03.04.05Z",
        "202601-02T03:04:05.1Z",
        "2026-01-02 03:04:05Z",
        "2026-01-02T03:04:60Z",
        "2026-02-30T00:00:00Z",
        "2026-01-02T24:00:00Z",
        "2026-01-02t03:04:05z",
        "1969-12-31T23:59:59.5Z",
        "0001-01-01T00:00:00Z",
        "9999-12-31T23:59:59.999999999Z",
        "２026-01-02T03:04:05Z",
        "",
    ]
)
values: st.SearchStrategy[Any] = (
    st.none()
    | st.booleans()
    | st.integers(-(2**70), 2**70)
    | st.floats()
    | text
    | st.lists(text, max_size=2)
    | st.dictionaries(text, text | st.none() | st.integers(), max_size=3)
)
events = st.fixed_dictionaries(
    {},
    optional={
        "eventTime": times | values,
        "event_time": times,
        "value": values,
        "position": values,
        "attributes": values,
        "tomorrow": values,
        "protobuf": values,
    },
).flatmap(lambda fixed: st.dictionaries(names, text | values, max_size=8).map(lambda rest: fixed | rest))


# The first draw of a process may build tables of Unicode for a second.
@settings(max_examples=1_000, suppress_health_check=[HealthCheck.too_slow])
@given(events)
@example({"value": 4, "eventTime": "2026-01-02T03:04:05Z"})
@example({"attributes": None, "position": 2**32 - 1})
def test_what_the_fast_reader_understands_the_protobuf_library_understands_alike(event: dict[str, Any]) -> None:
    value = json.dumps(event).encode()
    parsed = read_plain_json(value)
    spellings = [name.replace("_", "").lower() for name in event]
    if parsed is None or len(set(spellings)) < len(spellings):  # a field given twice: the one laxer thing, see there
        return
    plain = Interaction._make(parsed)  # not checked yet
    known, unknown_fields = part_known_from_unknown(value)
    assert json.loads(plain.unknown_fields or "{}") == json.loads(unknown_fields or "{}")
    message = json_format.Parse(value, event_pb2.Event(), ignore_unknown_fields=True)
    assert json_format.Parse(known, event_pb2.Event()) == message
    assert plain[:4] == (message.event_id, message.user_id, message.item_id, message.type)
    assert plain.value == (message.value if message.HasField("value") else None)
    assert plain.position == (message.position if message.HasField("position") else None)
    assert (plain.session_id, plain.request_id, plain.surface) == (
        message.session_id,
        message.request_id,
        message.surface,
    )
    assert plain.attributes == dict(message.attributes)
    if message.HasField("event_time"):
        assert plain.event_time_us == message.event_time.seconds * 1_000_000 + message.event_time.nanos // 1_000
    else:
        assert plain.event_time_us is None


def test_what_a_usual_producer_sends_is_read_fast() -> None:
    """Otherwise the slow reader would hide that the fast one understands nothing."""
    assert read_plain_json(event_json("e", value=4, position=3, attributes={"page": "home"})) is not None
    assert read_plain_json(b'{"event_id":"e","user_id":"u","event_time":"2026-01-02T03:04:05.678Z"}') is not None


@pytest.mark.parametrize("time", ["2026-01-02T030405.1Z", "2026-01-02T03:0405.12Z", "20260102T030405.000Z"])
def test_a_time_without_its_colons_is_left_to_the_protobuf_library_and_dies(time: str) -> None:
    """Python reads it gladly; a producer who gets away with it in one encoding would fail in the other."""
    value = event_json("e", eventTime=time)
    assert read_plain_json(value) is None
    assert isinstance(decode(value), DeadLetter)


@pytest.mark.parametrize(
    "rare",
    [
        {},
        {"sessionId": None},
        {"eventTime": "2026-01-02T03:04:05+01:00"},
        {"position": "3"},
        {"[x.y]": 1},
        {"position": "3", "[x.y]": 1},
        {"protobuf": "CgNldmU="},
    ],
    ids=str,
)
def test_fields_of_tomorrow_are_carried_whichever_reader_has_to_look(rare: dict[str, Any]) -> None:
    tomorrow = {"mood": {"happy": [1, 2]}, "zeal": 0.5}
    decoded = decode(json.dumps(json.loads(event_json("e", **tomorrow)) | rare).encode())
    assert isinstance(decoded, Interaction)
    also = {name: rare[name] for name in rare if name in ("[x.y]", "protobuf")}
    assert json.loads(decoded.unknown_fields) == {"json": tomorrow | also}
    assert decoded.event_id == "e"


@pytest.mark.parametrize("rare", [b"", b',"sessionId":null'], ids=["fast", "slow"])
def test_a_number_of_tomorrow_stays_as_it_was_written(rare: bytes) -> None:
    """Read as a float it would be infinite, or another number, and what the log keeps would be no JSON."""
    decoded = decode(event_json("e")[:-1] + b',"huge":1e999,"exact":12345678901234567890.123' + rare + b"}")
    assert isinstance(decoded, Interaction)
    assert decoded.unknown_fields == '{"json":{"huge":1e999,"exact":12345678901234567890.123}}'


def test_fields_of_tomorrow_are_carried_in_protobuf() -> None:
    message = event_pb2.Event(event_id="e", user_id="u", item_id="i", type="view")
    message.event_time.FromMicroseconds(NOW_US)
    tomorrow = b"\xc2\x3e\x03abc"  # field 1000, a string
    carried = decode(message.SerializeToString() + tomorrow, "application/x-protobuf")
    assert isinstance(carried, Interaction)
    assert json.loads(carried.unknown_fields) == {"protobuf": "wj4DYWJj"}
    plain = decode(message.SerializeToString(), "application/x-protobuf")
    assert isinstance(plain, Interaction)
    assert plain.unknown_fields == ""


@settings(max_examples=1_000, deadline=None)
@given(st.binary(max_size=120), st.sampled_from(["", "application/x-protobuf"]))
def test_no_noise_raises(value: bytes, content_type: str) -> None:
    assert isinstance(decode(value, content_type), Interaction | DeadLetter)
