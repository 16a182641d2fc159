"""Splits are by time alone, and what cannot be trained on is refused in words."""

from collections.abc import Iterable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.errors import NotEnoughData
from services.domain.event_types import EventType, EventTypes, Role
from services.domain.history_input import encoder_input
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import HistoryEntry, Interaction
from services.training.data import assembly
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset, Moments
from tests.fakes.event_log import columns_of
from tests.fakes.planted import planted_events

EVENT_TYPES = EventTypes(
    [
        EventType("impression", Role.IMPRESSION),
        EventType("view", Role.POSITIVE),
        EventType("purchase", Role.POSITIVE, 5.0, consumes=True),
        EventType("rating", Role.POSITIVE, 2.0, consumes=True, positive_from=4.0, negative_to=2.0),
        EventType("dislike", Role.NEGATIVE, consumes=True),
    ]
)
KINDS = ["view", "rating", "dislike", "impression"]
VALUES = [None, 1.0, 2.0, 2.5, 3.9999, 4.0, 5.0]


def event(
    number: int,
    user_id: str,
    item_id: str,
    event_type: str = "view",
    time_us: int | None = None,
    value: float | None = None,
) -> Interaction:
    time_us = number if time_us is None else time_us
    return Interaction(EventId(f"{number:04d}"), UserId(user_id), ItemId(item_id), event_type, time_us, value)


def dataset(events: Iterable[Interaction], holdout: float = 0.2, validation: float = 0.25, least: int = 1) -> Dataset:
    return build_dataset(
        columns_of(events),
        EVENT_TYPES,
        holdout_fraction=holdout,
        validation_fraction=validation,
        min_item_events=least,
    )


def asked(parts: Dataset) -> list[tuple[int, int]]:
    """(position, item row asked for there)."""
    return list(zip(parts.sequences.asked.tolist(), parts.sequences.targets.tolist(), strict=True))


def ten_events() -> list[Interaction]:
    """Two users in turn, items a to e twice over, at times 0 to 9."""
    return [event(number, "ann" if number % 2 else "bob", "abcde"[number % 5]) for number in range(10)]


def test_the_parts_follow_one_another_in_time() -> None:
    """Of ten events the last two are held out, and of the eight before the last two say when to stop."""
    parts = dataset(ten_events())
    assert parts.bounds_us == {"fit_end_us": 6, "cut_us": 8}
    assert len(parts.sequences.items) == 6
    assert parts.validation.times_us.tolist() == [6, 7]
    assert parts.holdout.times_us.tolist() == [8, 9]


@pytest.mark.parametrize(("least", "cut"), [(3, 8), (8, 8), (9, 9)])
def test_the_holdout_begins_no_earlier_than_it_is_told_to(least: int, cut: int) -> None:
    """And validation is what then lies before it."""
    events = columns_of(ten_events())
    parts = build_dataset(
        events, EVENT_TYPES, holdout_fraction=0.2, validation_fraction=0.25, min_item_events=1, least_cut_us=least
    )
    assert parts.bounds_us == {"fit_end_us": cut - 2, "cut_us": cut}
    assert parts.holdout.times_us.tolist() == list(range(cut, 10))


def test_events_of_one_moment_do_not_straddle_the_cut() -> None:
    """Events 6 to 9 happen at once: all of them are held out although two would do."""
    events = [
        event(number, each.user_id, each.item_id, time_us=min(number, 6)) for number, each in enumerate(ten_events())
    ]
    parts = dataset(events)
    assert parts.bounds_us["cut_us"] == 6
    assert parts.holdout.times_us.tolist() == [6, 6, 6, 6]


def test_the_vocabulary_and_the_sequences_know_nothing_later_than_the_fit_part() -> None:
    """An item first seen later has no row: as a target it is 0, which counts as a miss."""
    events = ten_events()
    events[7], events[9] = event(7, "ann", "new"), event(9, "ann", "newer")
    parts = dataset(events)
    assert parts.vocabulary.item_ids == ("a", "b", "c", "d", "e")
    assert parts.validation.targets.tolist() == [2, 0]
    assert parts.holdout.targets.tolist() == [4, 0]


def test_items_with_too_few_events_are_left_out() -> None:
    events = [event(number, "ann" if number % 2 else "bob", "ab"[number % 2]) for number in range(20)]
    events[3] = event(3, "ann", "rare")
    assert dataset(events, least=2).vocabulary.item_ids == ("a", "b")


def test_impressions_enter_neither_vocabulary_nor_sequences() -> None:
    events = [*ten_events(), event(100, "ann", "shown", "impression", time_us=1)]
    parts = dataset(events)
    assert "shown" not in parts.vocabulary.item_ids
    assert "impression" not in parts.vocabulary.event_type_rows


def test_a_target_is_asked_at_the_same_users_last_event_before_it() -> None:
    """Ann: a, dislikes b, c. Bob: d, a. A negative event is context, never a target; nothing asks for the first."""
    events = [
        event(0, "ann", "a"),
        event(1, "ann", "b", "dislike"),
        event(2, "bob", "d"),
        event(3, "ann", "c"),
        event(4, "bob", "a"),
        *(event(number, "cat", "a") for number in range(5, 8)),
    ]
    parts = dataset(events, holdout=0.2, validation=0.3)
    assert parts.vocabulary.item_ids == ("a", "b", "c", "d")
    assert parts.sequences.items.tolist() == [1, 2, 3, 4, 1]
    assert parts.sequences.starts.tolist() == [0, 3, 5, 5]
    assert asked(parts) == [(1, 3), (3, 1)]


def test_positives_of_one_moment_are_asked_before_it_and_its_last_one_after_the_others() -> None:
    """Ann: a, e and b at once, then c, d and a at once, of which d is disliked."""
    events = [
        event(0, "ann", "a", time_us=1),
        event(1, "ann", "e", time_us=1),
        event(2, "ann", "b", time_us=1),
        event(3, "ann", "c", time_us=2),
        event(4, "ann", "d", "dislike", time_us=2),
        event(5, "ann", "a", time_us=2),
        *(event(number, "cat", "a") for number in range(6, 10)),
    ]
    parts = dataset(events, holdout=0.2, validation=0.2)
    assert parts.sequences.items.tolist()[:6] == [1, 5, 2, 3, 4, 1]
    strict, tied = [(2, 3), (2, 1)], [(1, 2), (4, 1)]
    assert sorted(asked(parts)[:4]) == sorted(strict + tied)
    assert parts.sequences.asked.tolist() == sorted(parts.sequences.asked.tolist())


@settings(max_examples=200, deadline=None)
@given(
    st.lists(
        st.tuples(
            st.sampled_from("abc"),
            st.sampled_from("wxyz"),
            st.sampled_from(KINDS),
            st.integers(6, 20),
            st.sampled_from(VALUES),
        )
    )
)
def test_what_is_asked_in_training_is_what_serving_would_have_been_asked(
    drawn: list[tuple[str, str, str, int, float | None]],
) -> None:
    """Law 8: every positive event is asked for with exactly what encoder_input gives for the moment just before it.

    The last of a moment is asked for again after those before it in the moment: nothing later than its own.
    """
    events = [*ten_events()[:6], *(event(10 + number, *each) for number, each in enumerate(drawn))]
    events += [event(900 + number, user, "e", time_us=99 + number) for number, user in enumerate(("ann", "bob"))]
    parts = dataset(events, holdout=1e-9, validation=1e-9)
    words, sequences = parts.vocabulary, parts.sequences
    expected: list[tuple[list[int], list[int], int]] = []
    for user_id in parts.histories.user_rows:
        fit_end_us = parts.bounds_us["fit_end_us"]
        of_user = sorted(
            HistoryEntry(each.event_time_us, each.event_id, each.item_id, each.event_type, each.value)
            for each in events
            if each.user_id == user_id and each.event_time_us < fit_end_us and each.event_type != "impression"
        )
        befores = [[entry for entry in of_user if entry.event_time_us < each.event_time_us] for each in of_user]
        is_asked = [
            is_positive(each) and not is_done_with(each.item_id, before)
            for each, before in zip(of_user, befores, strict=True)
        ]
        last_asked = {each.event_time_us: place for place, each in enumerate(of_user) if is_asked[place]}
        for place, (target, before) in enumerate(zip(of_user, befores, strict=True)):
            again = len(before) < place == last_asked.get(target.event_time_us)
            for context in ([before, of_user[:place]] if again else [before]) if is_asked[place] else ():
                items, types, _ = encoder_input(context, words, max_history=1_000)
                if len(items):
                    expected.append((items.tolist(), types.tolist(), words.item_rows[target.item_id]))
    user_starts = [int(sequences.starts[sequences.starts <= place].max()) for place in sequences.asked]
    spans = [slice(start, place + 1) for start, place in zip(user_starts, sequences.asked, strict=True)]
    assert sorted(expected) == sorted(
        (sequences.items[span].tolist(), sequences.types[span].tolist(), target)
        for span, target in zip(spans, sequences.targets.tolist(), strict=True)
    )


def is_done_with(item_id: ItemId, before: list[HistoryEntry]) -> bool:
    """Whatever its value: who rated or disliked an item is not shown it again."""
    return any(entry.item_id == item_id and entry.event_type in ("rating", "dislike") for entry in before)


def is_positive(entry: HistoryEntry) -> bool:
    """Said again by hand: views are, and ratings of 4 or more or without a value."""
    liked = entry.value is None or entry.value >= 4
    return entry.event_type == "view" or (entry.event_type == "rating" and liked)


def test_events_of_a_disliked_value_are_context_and_never_a_target() -> None:
    """Ann rates a with 5, b with 1, c with 3 and d with 4: only d is asked for, and nobody is measured on b or c."""
    events = [
        event(number, "ann", item, "rating", value=value)
        for number, item, value in zip(range(4), "abcd", (5, 1, 3, 4), strict=True)
    ]
    events += [event(number, "bob", "abcd"[number % 4]) for number in range(4, 7)]
    events += [event(7, "bob", "a", "rating", value=2), event(8, "bob", "b", "rating", value=3), event(9, "bob", "c")]
    parts = dataset(events, holdout=0.3, validation=0.2)
    labels = parts.vocabulary.event_type_labels
    assert [labels[row - 1] for row in parts.sequences.types[:4]] == ["rating+", "rating-", "rating", "rating+"]
    assert asked(parts)[0] == (2, 4)
    assert parts.holdout.targets.tolist() == [3]


def test_a_targets_weight_is_that_of_its_event() -> None:
    """A liked rating weighs 2, a purchase 5."""
    events = [
        event(0, "ann", "a"),
        event(1, "ann", "b", "rating", value=5),
        event(2, "ann", "c", "rating", value=1),
        event(3, "ann", "d", "purchase"),
        *(event(number, "bob", "abcd"[number % 4]) for number in range(4, 9)),
    ]
    parts = dataset(events, holdout=0.2, validation=0.2)
    assert parts.sequences.targets.tolist()[:2] == [2, 4]
    assert parts.sequences.target_weights.tolist()[:2] == [2.0, 5.0]


def test_popularity_is_the_number_of_users_where_all_events_weigh_one() -> None:
    events = planted_events(20, 40)
    parts = dataset(events)
    pairs = {(each.user_id, each.item_id) for each in events if each.event_time_us < parts.bounds_us["cut_us"]}
    before = [item_id for _, item_id in pairs]
    assert parts.popularity.tolist() == [before.count(item_id) for item_id in parts.vocabulary.item_ids]


def test_popularity_sums_the_signed_weight_of_each_users_newest_event_before_the_cut() -> None:
    """a: ann bought it after a view. b: ann's view and bob's rating of 1. c: ann's rating of 5 and bob's later view."""
    events = [
        event(0, "ann", "a"), event(1, "bob", "b"), event(2, "ann", "a", "purchase"),
        event(3, "bob", "b", "rating", value=1), event(4, "ann", "c", "rating", value=5),
        event(5, "bob", "c", "rating", value=3), event(6, "ann", "b"), event(7, "bob", "a", "impression"),
        event(8, "bob", "c"), event(9, "ann", "a"),
    ]  # fmt: skip
    assert dataset(events, holdout=0.1, validation=0.2).popularity.tolist() == [5.0, -1.0, 3.0]


def test_popularity_of_what_is_disliked_is_below_that_of_the_unknown() -> None:
    """Item a: ann's views, one user's, and bob's after the cut; item b: bob's view, then both dislike it."""
    events = [
        event(0, "ann", "a"), event(1, "bob", "b"), event(2, "ann", "a"), event(3, "bob", "b", "dislike"),
        event(4, "ann", "b", "dislike"), event(5, "ann", "a"), event(6, "bob", "a"),
    ]  # fmt: skip
    assert dataset(events, holdout=0.15).popularity.tolist() == [1.0, -2.0]


def test_thinned_moments_are_spread_over_time() -> None:
    validation = dataset(planted_events(20, 40), validation=0.5).validation
    thinned = validation.thinned(10)
    assert len(thinned) == 10
    assert (thinned.times_us[0], thinned.times_us[-1]) == (validation.times_us[0], validation.times_us[-1])
    assert len(validation.thinned(10_000)) == len(validation)


def test_thinned_moments_keep_all_that_was_chosen_of_a_question() -> None:
    """A list that is judged by one of five choices is judged by what nobody meant."""
    users, targets = np.repeat(np.arange(8), 5), np.arange(1, 41)
    thinned = Moments(users, np.full(40, 7), targets, np.ones(40, np.int64)).thinned(4)
    assert np.unique(thinned.user_rows, return_counts=True)[1].tolist() == [5] * 4


TOO_LITTLE = {
    "no events": ([], "no events"),
    "one event": ([event(0, "ann", "a")], "learn from"),
    "one moment": ([event(number, f"user-{number}", "ab"[number % 2], time_us=5) for number in range(9)], "learn from"),
    "one user": ([event(number, "ann", "abc"[number % 3]) for number in range(30)], "one user"),
    "one item": ([event(number, "ann" if number % 2 else "bob", "a") for number in range(30)], "two items"),
    "only negatives": (
        [event(number, "ann" if number % 2 else "bob", "ab"[number % 2], "dislike") for number in range(30)],
        "positive",
    ),
    "only impressions": (
        [event(number, "ann" if number % 2 else "bob", "ab"[number % 2], "impression") for number in range(30)],
        "positive",
    ),
    "no positive in the holdout": (
        [event(number, "ann" if number % 2 else "bob", "abc"[number % 3]) for number in range(24)]
        + [event(number, "ann", "a", "dislike") for number in range(24, 30)],
        "holdout",
    ),
}


@pytest.mark.parametrize("name", TOO_LITTLE)
def test_too_little_is_refused_and_the_sentence_says_what_is_missing(name: str) -> None:
    events, word = TOO_LITTLE[name]
    with pytest.raises(NotEnoughData, match=word):
        dataset(events)


def test_what_is_masked_when_it_is_asked_for_is_not_learned() -> None:
    """Ann rates a twice and views b twice: a again is never shown, b may be. Two ratings at once are one."""
    events = [
        event(0, "ann", "a", "rating"),
        event(1, "ann", "b"),
        event(2, "ann", "a", "rating"),
        event(3, "ann", "b"),
        event(4, "ann", "c", "rating", time_us=4),
        event(5, "ann", "c", "rating", time_us=4),
        *(event(number, "cat", "a") for number in range(6, 10)),
    ]
    parts = dataset(events, holdout=0.2, validation=0.2)
    items = parts.sequences.items
    of_ann = [int(items[wanted]) for wanted in parts.sequences.wanted if wanted < 6]
    assert sorted(of_ann) == [2, 2, 3, 3, 3]


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 3), st.integers(1, 4), st.integers(0, 5), st.booleans()), max_size=30),
    st.integers(1, 6),
)
def test_repeats_in_blocks_are_those_found_one_by_one(drawn: list[tuple[int, int, int, bool]], block: int) -> None:
    """(user, item, time, whether it consumes) against a plain loop, whatever the block's size."""
    drawn = sorted(drawn, key=lambda each: (each[0], each[2]))
    users, items, times_us, consumes = (np.array([each[place] for each in drawn]) for place in range(4))
    starts = np.searchsorted(users, np.arange(5)) if drawn else np.zeros(5, np.int64)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(assembly, "SORTED_EVENTS", block)
        found = assembly.repeats(items.astype(np.int32), times_us.astype(np.int64), consumes.astype(np.bool_), starts)
    expected = [any(other[:2] == each[:2] and other[2] < each[2] and other[3] for other in drawn) for each in drawn]
    assert found.tolist() == expected
