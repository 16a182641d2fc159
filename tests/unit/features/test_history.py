"""Histories as of a moment equal what serving computes, and never see the future."""

from collections.abc import Sequence

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.event_types import EventType, EventTypes, Role
from services.domain.history_input import encoder_input
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import HistoryEntry, Interaction
from services.domain.vocabulary import Vocabulary, input_types
from services.features.history import Histories
from tests.fakes.event_log import columns_of

EVENT_TYPES = EventTypes(
    [
        EventType("impression", Role.IMPRESSION),
        EventType("view", Role.POSITIVE),
        EventType("rating", Role.POSITIVE, consumes=True, positive_from=4.0, negative_to=2.0),
        EventType("watch", Role.NEUTRAL, positive_from=60.0),
        EventType("dislike", Role.NEGATIVE, consumes=True),
    ]
)
VOCABULARY = Vocabulary(tuple(ItemId(item) for item in "abcd"), input_types(EVENT_TYPES))

events_lists = st.lists(
    st.tuples(
        st.uuids().map(lambda each: EventId(str(each))),
        st.sampled_from(["ann", "bob"]).map(UserId),
        st.sampled_from("abcdxy").map(ItemId),  # x and y are unknown to the vocabulary
        st.sampled_from(["view", "impression", "rating", "watch", "dislike", "undeclared"]),
        st.integers(0, 12),
        st.sampled_from([None, 1.9999, 2.0, 2.0001, 3.9999, 4.0, 60.0, -1e300, 1e300]),
    ).map(lambda fields: Interaction(*fields)),
    max_size=40,
    unique_by=lambda event: event.event_id,
)


def histories(events: Sequence[Interaction]) -> Histories:
    return Histories(columns_of(events), VOCABULARY, EVENT_TYPES)


def served(events: Sequence[Interaction], user_id: UserId, before_us: int, num_kept: int) -> list[HistoryEntry]:
    """What the online store holds of a user at a moment: of what enters a history, the newest `num_kept`, in order."""
    entries = sorted(
        HistoryEntry(event.event_time_us, event.event_id, event.item_id, event.event_type, event.value)
        for event in events
        if event.user_id == user_id and event.event_time_us < before_us and enters_history(event.event_type)
    )
    return entries[-num_kept:]


def enters_history(event_type: str) -> bool:
    kind = EVENT_TYPES.get(event_type)
    return kind is not None and kind.enters_history


@settings(max_examples=200, deadline=None)
@given(events_lists, st.integers(0, 13), st.integers(1, 6), st.integers(0, 3))
def test_training_reads_what_serving_computes(
    events: list[Interaction], time_us: int, max_history: int, num_spare: int
) -> None:
    """Law 8: for any user and moment, the as-of read equals encoder_input over the entries that serving keeps."""
    table = histories(events)
    for user_id, user_row in table.user_rows.items():
        found = table.as_of(user_row, time_us, max_history)
        kept = served(events, user_id, time_us, max_history + num_spare)
        expected = encoder_input(kept, VOCABULARY, max_history)
        assert [column.tolist() for column in found] == [column.tolist() for column in expected]


@settings(max_examples=100, deadline=None)
@given(events_lists, events_lists, st.integers(0, 13))
def test_no_read_sees_the_future(past: list[Interaction], future: list[Interaction], time_us: int) -> None:
    """Whatever happens at or after a moment changes no read as of it."""
    past = [event for event in past if event.event_time_us < time_us]
    later = [event for event in future if event.event_time_us >= time_us]
    known, all_known = histories(past), histories(past + later)
    for user_id, user_row in known.user_rows.items():
        other_row = all_known.user_rows[user_id]
        for found, expected in zip(
            (*all_known.as_of(other_row, time_us, 5), all_known.consumed_as_of(other_row, time_us)),
            (*known.as_of(user_row, time_us, 5), known.consumed_as_of(user_row, time_us)),
            strict=True,
        ):
            assert found.tolist() == expected.tolist()


def event(number: int, user_id: str, item_id: str, event_type: str, value: float | None = None) -> Interaction:
    return Interaction(EventId(f"{number:03d}"), UserId(user_id), ItemId(item_id), event_type, number, value)


def test_consumed_items_are_those_of_consuming_events_before_the_moment() -> None:
    """A rating consumes, a view does not; what the vocabulary lacks has no row."""
    table = histories(
        [
            event(1, "ann", "a", "rating"),
            event(2, "ann", "b", "view"),
            event(3, "ann", "x", "rating"),
            event(4, "ann", "c", "rating"),
        ]
    )
    assert table.consumed_as_of(table.user_rows[UserId("ann")], 4).tolist() == [1]


def test_sequences_hold_each_users_known_items_in_order_before_the_moment() -> None:
    table = histories(
        [
            event(1, "ann", "a", "view"),
            event(2, "bob", "b", "rating", 1.0),
            event(3, "ann", "x", "view"),
            event(4, "ann", "c", "impression"),
            event(5, "ann", "d", "view"),
            event(6, "bob", "a", "view"),
        ]
    )
    items, types, times_us, starts = table.sequences(np.array([True] * 5 + [False]))
    rows = dict(zip(VOCABULARY.event_type_labels, range(1, 99), strict=False))
    assert items.tolist() == [1, 4, 2]
    assert types.tolist() == [rows["view"], rows["view"], rows["rating-"]]
    assert times_us.tolist() == [1, 5, 2]
    assert starts.tolist() == [0, 2, 3]


def test_a_rating_is_read_with_the_sign_of_its_value() -> None:
    """4 or more is liked, 2 or less is not, and a rating without a value is what its type was declared to be."""
    table = histories([event(number, "ann", "a", "rating", value) for number, value in enumerate((5, 3, 1, None))])
    types = table.as_of(0, 10, max_history=10).types
    labels = [VOCABULARY.event_type_labels[row - 1] for row in types.tolist()]
    assert labels == ["rating+", "rating", "rating-", "rating+"]


def test_an_empty_log_has_no_sequences() -> None:
    items, types, times_us, starts = histories([]).sequences(np.empty(0, np.bool_))
    assert (len(items), len(types), len(times_us), starts.tolist()) == (0, 0, 0, [0])
    assert [str(column.dtype) for column in (items, types, times_us)] == ["int32", "int16", "int64"]
