"""Events as producers make them, and what they look like on the wire."""

import uuid
from datetime import UTC, datetime, timedelta, timezone
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightjar import Event, InvalidField
from nightjar.events import new_event_id
from nightjar.v1 import event_pb2
from nightjar.validation import check_event

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=60)
moments = st.datetimes(datetime(1970, 1, 2), timezones=st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))]))
attributes = st.dictionaries(words, words, max_size=5)


@given(
    event=st.builds(
        Event,
        user_id=words,
        item_id=words,
        type=words,
        value=st.none() | st.floats(allow_nan=False, allow_infinity=False),
        event_time=moments,
        event_id=words,
        session_id=st.just("") | words,
        request_id=st.just("") | words,
        position=st.none() | st.integers(0, 2**32 - 1),
        surface=st.just("") | words,
        attributes=attributes,
    )
)
def test_an_event_survives_the_wire(event: Event) -> None:
    """Every field that is allowed comes back as it was; unset stays unset; the moment is the same in any zone."""
    message = event.to_proto()
    check_event(message)
    read = event_pb2.Event.FromString(message.SerializeToString())
    assert _event_of(read) == event


def _event_of(message: event_pb2.Event) -> Event:
    return Event(
        user_id=message.user_id,
        item_id=message.item_id,
        type=message.type,
        value=message.value if message.HasField("value") else None,
        event_time=message.event_time.ToDatetime(UTC),
        event_id=message.event_id,
        session_id=message.session_id,
        request_id=message.request_id,
        position=message.position if message.HasField("position") else None,
        surface=message.surface,
        attributes=dict(message.attributes),
    )


def test_an_event_has_its_own_id_and_the_present_time() -> None:
    """Two events of the same click differ; one object sent twice is one event."""
    before = datetime.now(UTC)
    first, second = Event("u", "i", "view"), Event("u", "i", "view")
    assert first.event_id != second.event_id
    assert before <= first.event_time <= datetime.now(UTC)
    assert first.to_proto() == first.to_proto()


def test_new_ids_are_uuids_of_version_7_in_order_of_time() -> None:
    """A database that keeps events by id writes them at its end."""
    before_ms = int(datetime.now(UTC).timestamp() * 1_000)
    made = uuid.UUID(new_event_id())
    assert (made.version, made.variant) == (7, uuid.RFC_4122)
    assert before_ms <= made.int >> 80 <= int(datetime.now(UTC).timestamp() * 1_000)


def test_a_time_without_a_zone_is_refused() -> None:
    """Taken for UTC it would be wrong by hours, silently."""
    with pytest.raises(InvalidField, match="event_time has no time zone"):
        Event("u", "i", "view", event_time=datetime(2026, 1, 31)).to_proto()


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "x" * 257}, "user_id"),
        ({"user_id": "ü" * 129}, "user_id"),
        ({"item_id": "a\nb"}, "item_id"),
        ({"item_id": "a\x7f" + "b" * 100}, "item_id"),
        ({"type": ""}, "type"),
        ({"event_id": ""}, "event_id"),
        ({"value": float("nan")}, "value"),
        ({"value": float("inf")}, "value"),
        ({"session_id": "x" * 257}, "session_id"),
        ({"request_id": "x" * 257}, "request_id"),
        ({"event_time": datetime(1969, 12, 31, 23, 59, 59, tzinfo=UTC)}, "event_time"),
        ({"surface": "x" * 257}, "surface"),
        ({"attributes": {str(n): "" for n in range(33)}}, "attributes"),
        ({"attributes": {"key": "x" * 1_022}}, "attributes"),
    ],
)
def test_an_event_that_breaks_the_contract_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    """The mistake raises where it was made, as a ValueError, and not days later in the dead letters."""
    event = Event(**{"user_id": "u", "item_id": "i", "type": "view"} | changes)
    with pytest.raises(InvalidField) as refused:
        check_event(event.to_proto())
    assert refused.value.field == field
    assert isinstance(refused.value, ValueError)


@pytest.mark.parametrize("user_id", ["x" * 256, "ü" * 128, "a b", "日本", "\u200b"])
def test_ids_at_the_limit_and_in_any_script_are_allowed(user_id: str) -> None:
    check_event(Event(user_id, "i", "view").to_proto())


def test_a_message_without_a_time_is_refused() -> None:
    with pytest.raises(InvalidField, match="event_time is not set"):
        check_event(event_pb2.Event(event_id="e", user_id="u", item_id="i", type="view"))


def test_a_message_with_a_time_beyond_the_calendar_is_refused() -> None:
    event = Event("u", "i", "view").to_proto()
    event.event_time.seconds = 10**15
    with pytest.raises(InvalidField, match="event_time lies before 1970 or after"):
        check_event(event)
