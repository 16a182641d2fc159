"""What a request says of a visitor becomes the history that the online store would have of the same events."""

from typing import Any

import pytest

from nightjar.v1.recommender_service_pb2 import RecentEvent
from services.domain.errors import InvalidRequest
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.interactions import UserHistory
from services.inference.rpc.request_history import MAX_EVENTS, history_of


def event(item_id: str = "a", event_type: str = "view", second: int | None = None, **fields: Any) -> RecentEvent:
    made = RecentEvent(item_id=item_id, event_type=event_type, **fields)
    if second is not None:
        made.event_time.FromSeconds(second)
    return made


def made(*events: RecentEvent) -> UserHistory:
    return history_of(events, DEFAULT_EVENT_TYPES)


def test_it_is_in_order_of_time_without_impressions_and_knows_what_is_consumed() -> None:
    history = made(event("b", "purchase", 20), event("x", "impression", 5), event("a", "rating", 10, value=4.0))
    assert [(each.item_id, each.event_time_us, each.value) for each in history.entries] == [
        ("a", 10_000_000, 4.0),
        ("b", 20_000_000, None),
    ]
    assert history.consumed == {"a", "b"}


def test_without_times_the_order_is_the_callers_and_an_event_comes_when_the_one_before_it_did() -> None:
    assert [each.item_id for each in made(event("b"), event("a")).entries] == ["b", "a"]
    assert [each.event_time_us for each in made(event("b", second=7), event("a")).entries] == [7_000_000] * 2


def test_another_history_has_another_version_and_none_has_none() -> None:
    same, longer, other = made(event("a"), event("b")), made(event("a"), event("b"), event("b")), made(event("b"))
    assert same.version == made(event("a"), event("b")).version != ""
    assert len({same.version, longer.version, other.version, made(event("a", second=1), event("b")).version}) == 4
    assert made().version == made(event("a", "impression")).version == ""


@pytest.mark.parametrize(
    ("bad", "field"),
    [
        (event(""), "recent_events[1].item_id"),
        (event("x" * 10_000), "recent_events[1].item_id"),
        (event(event_type="stare"), "recent_events[1].event_type"),
        (event(event_type=""), "recent_events[1].event_type"),
        (event(value=float("nan")), "recent_events[1].value"),
        (event(value=float("inf")), "recent_events[1].value"),
        (event(second=-1), "recent_events[1].event_time"),
        (event(second=253_402_300_799, value=1.0), ""),
    ],
)
def test_a_bad_event_is_named(bad: RecentEvent, field: str) -> None:
    if not field:
        assert len(made(event(), bad).entries) == 2
        return
    with pytest.raises(InvalidRequest) as raised:
        made(event(), bad)
    assert raised.value.field == field


def test_a_time_with_too_many_nanoseconds_is_none() -> None:
    bad = event(second=1)
    bad.event_time.nanos = 1_000_000_000
    with pytest.raises(InvalidRequest, match="no time from 1970"):
        made(bad)


def test_they_are_bounded() -> None:
    """Law 9."""
    assert len(made(*[event()] * MAX_EVENTS).entries) == MAX_EVENTS
    with pytest.raises(InvalidRequest, match="at most 200"):
        made(*[event()] * (MAX_EVENTS + 1))
