"""Events of the log that are sent again: when each is due, and that each is what it was."""

import base64
import json
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightjar.v1 import event_pb2
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import Record
from services.ingest.codec import Limits, decode_event
from services.ingest.pacing import paced, to_message
from tests.fakes.streams import PARTITION, event_json

LIMITS = Limits(max_record_bytes=100_000, max_future_us=0)
NOW_US = int(datetime(2100, 1, 1, tzinfo=UTC).timestamp()) * 1_000_000
FIELD_OF_TOMORROW = b"\xfa\x3f\x03new"  # field 1023, bytes


def event(at_s: float) -> Interaction:
    return Interaction(EventId(f"e{at_s}"), UserId("ada"), ItemId("book"), "view", int(at_s * 1_000_000))


class Watch:
    """Time that only waiting moves."""

    def __init__(self, stop_after_s: float = float("inf")) -> None:
        self.now_s = 0.0
        self._stop_after_s = stop_after_s

    def wait(self, seconds: float) -> bool:
        self.now_s += seconds
        return self.now_s > self._stop_after_s


def sent_at(events: list[Interaction], speed: float, watch: Watch) -> list[float]:
    return [watch.now_s for _ in paced(events, speed, lambda: watch.now_s, watch.wait)]


def test_events_keep_the_distances_they_had() -> None:
    assert sent_at([event(10), event(12), event(12), event(15)], 1, Watch()) == [0, 2, 2, 5]


def test_at_sixty_times_the_speed_a_minute_is_a_second() -> None:
    assert sent_at([event(0), event(60), event(180)], 60, Watch()) == [0, 1, 3]


def test_speed_zero_waits_for_nothing() -> None:
    assert sent_at([event(0), event(3_600)], 0, Watch()) == [0, 0]


def test_asked_to_stop_it_sends_no_more() -> None:
    assert sent_at([event(0), event(1), event(9)], 1, Watch(stop_after_s=5)) == [0, 1]


words = st.text(st.characters(codec="utf-8", exclude_categories=["C"]), min_size=1, max_size=20)
members: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | words | st.just("CgNldmU="),  # event_id: "eve", if it were protobuf
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(words | st.just("protobuf"), inner, max_size=3),
    max_leaves=5,
)
carried_json = st.dictionaries(words | st.sampled_from(["protobuf", "json"]), members, min_size=1, max_size=3)
carried_protobuf = st.binary(max_size=20).map(lambda content: b"\xfa\x3f" + bytes([len(content)]) + content)
unknown_fields = (
    st.just("")
    | carried_json.map(lambda unknown: json.dumps({"json": unknown}))
    | carried_protobuf.map(lambda unknown: json.dumps({"protobuf": base64.b64encode(unknown).decode()}))
)


@given(
    st.builds(
        Interaction,
        event_id=words,
        user_id=words,
        item_id=words,
        event_type=st.sampled_from(DEFAULT_EVENT_TYPES.names()),
        event_time_us=st.integers(0, 2_000_000_000_000_000),
        value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        session_id=st.just("") | words,
        request_id=st.just("") | words,
        position=st.none() | st.integers(0, 1_000),
        surface=st.just("") | words,
        attributes=st.dictionaries(words, words, max_size=3),
        unknown_fields=unknown_fields,
    )
)
def test_an_event_sent_again_is_the_event_that_was_logged(logged: Interaction) -> None:
    """Except for what a newer producer sent in JSON, which has no place in protobuf, whatever it is called."""
    kept = "" if "json" in json.loads(logged.unknown_fields or "{}") else logged.unknown_fields
    assert decode_event(sent_again(logged), DEFAULT_EVENT_TYPES, LIMITS, NOW_US) == logged._replace(unknown_fields=kept)


def sent_again(logged: Interaction) -> Record:
    return Record(PARTITION, 0, to_message(logged).SerializeToString(), "application/x-protobuf")


@pytest.mark.parametrize("forged", ["CgNldmU=", "no Base64", 5, None, {"a": 1}])
def test_a_json_record_cannot_pass_for_a_newer_protobuf_producer(forged: object) -> None:
    record = Record(PARTITION, 0, json.dumps(json.loads(event_json("e1")) | {"protobuf": forged}).encode())
    logged = decode_event(record, DEFAULT_EVENT_TYPES, LIMITS, NOW_US)
    assert isinstance(logged, Interaction)
    again = decode_event(sent_again(logged), DEFAULT_EVENT_TYPES, LIMITS, NOW_US)
    assert again == logged._replace(unknown_fields="")


def test_fields_of_a_newer_producer_stay() -> None:
    newer = event_pb2.Event(event_id="e1", user_id="ada", item_id="book", type="view")
    newer.event_time.FromSeconds(5)
    wire = newer.SerializeToString() + FIELD_OF_TOMORROW
    logged = decode_event(Record(PARTITION, 0, wire, "application/x-protobuf"), DEFAULT_EVENT_TYPES, LIMITS, 10_000_000)
    assert isinstance(logged, Interaction)
    assert FIELD_OF_TOMORROW in to_message(logged).SerializeToString()
