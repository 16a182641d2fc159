"""The protocols on data made by hand: what is learned from, what is asked, and what is known then."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pytest

from services.domain.errors import NotEnoughData
from services.domain.evaluation_data import EvaluationData
from services.domain.event_columns import Words
from services.domain.ids import UserId
from services.training.data.dataset import Moments
from services.training.evaluation.protocols import DAY_S, Protocol, Task, at_time, cut
from services.training.evaluation.ranking import Repeats

START_S = 1_700_000_000 // DAY_S * DAY_S
BACKGROUND = [("zoe", item) for item in "abcdefgh"] + [("yan", item) for item in "hgfedcba"]
"""Two who know every item, so that no item is cold unless a test leaves them out."""


def data_of(rows: Sequence[tuple[str, str]], times_s: Sequence[int] = (), test: Sequence[bool] = ()) -> EvaluationData:
    """In the order of the rows, which must be user after user. Without times an event's is its place among the rows."""
    return EvaluationData(
        users=Words.of(user for user, _ in rows),
        items=Words.of(item for _, item in rows),
        times_s=np.array(times_s or range(len(rows)), np.int64),
        is_test=np.array(test, np.bool_) if test else None,
    )


def learned(task: Task) -> dict[str, str]:
    """Of each user the items that parameters learn from, in order; users of whom there are none are left out."""
    items, starts = names(task, task.dataset.sequences.items), task.dataset.sequences.starts
    users = task.dataset.histories.user_rows
    return {user: items[starts[row] : starts[row + 1]] for user, row in users.items() if starts[row] < starts[row + 1]}


def asked(task: Task, moments: Moments) -> dict[str, tuple[str, str]]:
    """Of each user what is known when they are asked, and all that is asked for; "?" is an item without a row."""
    found: dict[str, tuple[str, str]] = {}
    for user, row in task.dataset.histories.user_rows.items():
        of_user = moments.chosen(moments.user_rows == row)
        if len(of_user):
            (time_us,) = set(of_user.times_us.tolist())
            known = names(task, task.dataset.histories.as_of(row, time_us, 100).items)
            found[user] = (known, names(task, of_user.targets))
    return found


def names(task: Task, rows: npt.NDArray[Any]) -> str:
    return "".join("?" if row == 0 else task.dataset.vocabulary.item_ids[row - 1] for row in rows.tolist())


# P1, next item


def test_the_last_item_is_asked_for_after_all_before_it_and_the_second_last_before_that() -> None:
    task = cut(data_of([("ann", item) for item in "abcd"] + BACKGROUND), Protocol.NEXT_ITEM, validates=True)
    assert learned(task)["ann"] == "ab"
    assert asked(task, task.dataset.validation)["ann"] == ("ab", "c")
    assert asked(task, task.dataset.holdout)["ann"] == ("abc", "d")


def test_a_user_with_fewer_than_three_events_is_learned_from_and_not_asked() -> None:
    task = cut(data_of([("ann", "a"), ("ann", "b"), ("bob", "c"), *BACKGROUND]), Protocol.NEXT_ITEM, validates=True)
    assert (learned(task)["ann"], learned(task)["bob"]) == ("ab", "c")
    assert asked(task, task.dataset.holdout).keys() == {"zoe", "yan"}


def test_the_validation_part_is_kept_from_every_kind_alike() -> None:
    """Published figures are of models that never saw it, so a kind that needs no validation gets none either."""
    data = data_of(BACKGROUND)
    assert learned(cut(data, Protocol.NEXT_ITEM, validates=False)) == learned(
        cut(data, Protocol.NEXT_ITEM, validates=True)
    )


def test_events_of_one_second_stay_in_the_stored_order() -> None:
    """Sorting by time again would change what the last item is."""
    rows = [("ann", item) for item in "dbca"]
    task = cut(data_of(rows + BACKGROUND, [START_S] * (4 + len(BACKGROUND))), Protocol.NEXT_ITEM, validates=True)
    assert learned(task)["ann"] == "db"
    assert asked(task, task.dataset.validation)["ann"] == ("db", "c")
    assert asked(task, task.dataset.holdout)["ann"] == ("dbc", "a")


def test_a_time_that_goes_back_does_not_change_the_order_nor_another_users_times() -> None:
    times_s = [START_S + second for second in (50, 40, 60, 70)] + list(range(START_S, START_S + 16))
    task = cut(data_of([("ann", item) for item in "abcd"] + BACKGROUND, times_s), Protocol.NEXT_ITEM, validates=True)
    assert asked(task, task.dataset.holdout)["ann"] == ("abc", "d")
    sequences = task.dataset.sequences
    assert (np.diff(sequences.times_us)[sequences.user_rows[1:] == sequences.user_rows[:-1]] > 0).all()
    zoe = sequences.times_us[sequences.user_rows == task.dataset.histories.user_rows[UserId("zoe")]]
    assert (zoe // 1_000_000).tolist() == list(range(START_S, START_S + 6))


def test_a_repeated_item_is_asked_for_and_cannot_be_hit() -> None:
    task = cut(data_of([("ann", item) for item in "abca"] + BACKGROUND), Protocol.NEXT_ITEM, validates=True)
    assert task.repeats is Repeats.MISSED
    assert asked(task, task.dataset.holdout)["ann"] == ("abc", "a")


def test_an_item_only_ever_seen_in_the_test_is_asked_for_and_has_no_row() -> None:
    """A miss, not a user less: figures are means over all users. One seen in validation has a row, if untrained."""
    rows = [("ann", item) for item in ("a", "b", "cold", "new")]
    task = cut(data_of(rows + BACKGROUND), Protocol.NEXT_ITEM, validates=True)
    assert asked(task, task.dataset.holdout)["ann"] == ("abcold", "?")
    assert "new" not in task.dataset.vocabulary.item_ids


# P2, a split that comes with the data


def test_the_whole_training_set_is_known_and_all_test_items_are_one_question() -> None:
    rows, test = [("ann", item) for item in "abcd"] + BACKGROUND, [False, True, False, True] + [False] * 16
    task = cut(data_of(rows, test=test), Protocol.GIVEN_SPLIT, validates=False)
    assert learned(task)["ann"] == "ac"
    assert asked(task, task.dataset.holdout) == {"ann": ("ac", "bd")}
    assert not len(task.dataset.validation)


def test_an_item_that_is_in_the_test_twice_counts_once_and_one_that_was_trained_on_is_skipped() -> None:
    rows, test = [("ann", item) for item in "abccb"] + BACKGROUND, [False, False, True, True, True] + [False] * 16
    task = cut(data_of(rows, test=test), Protocol.GIVEN_SPLIT, validates=False)
    assert asked(task, task.dataset.holdout) == {"ann": ("ab", "cb")}
    assert task.repeats is Repeats.SKIPPED


def test_items_without_a_row_all_count_as_chosen() -> None:
    """Recall is of all that the user chose, whether a model can know it or not."""
    rows = [("ann", "a"), ("ann", "new"), ("ann", "newer"), *BACKGROUND]
    task = cut(data_of(rows, test=[False, True, True] + [False] * 16), Protocol.GIVEN_SPLIT, validates=False)
    assert asked(task, task.dataset.holdout) == {"ann": ("a", "??")}


def test_a_kind_that_validates_gets_about_a_tenth_of_each_users_training_items_for_it() -> None:
    """Kept from the parameters, known when the test is asked, and the same for the same seed."""
    rows = [(f"user{user}", f"item{item}") for user in range(30) for item in range(41)]
    data = data_of(rows, test=[place % 41 == 40 for place in range(len(rows))])
    task = cut(data, Protocol.GIVEN_SPLIT, validates=True, seed=1)
    num_kept = len(task.dataset.validation)
    assert 0.07 < num_kept / 1200 < 0.13
    assert len(task.dataset.sequences.items) == 1200 - num_kept
    row, time_us = int(task.dataset.holdout.user_rows[0]), int(task.dataset.holdout.times_us[0])
    assert len(task.dataset.histories.as_of(row, time_us, 100).items) == 40
    again = cut(data, Protocol.GIVEN_SPLIT, validates=True, seed=1)
    assert again.dataset.validation.targets.tolist() == task.dataset.validation.targets.tolist()
    other = cut(data, Protocol.GIVEN_SPLIT, validates=True, seed=2)
    assert other.dataset.validation.targets.tolist() != task.dataset.validation.targets.tolist()


def test_a_users_first_item_is_never_kept_for_validation() -> None:
    """Somebody with one training item would have nothing left to be known by."""
    rows = [(f"user{user}", item) for user in range(200) for item in ("ab", "ba")[user % 2]]
    task = cut(data_of(rows, test=[False, True] * 200), Protocol.GIVEN_SPLIT, validates=True)
    assert not len(task.dataset.validation)
    assert len(task.dataset.holdout) == 200


def test_data_without_a_split_does_not_fit_p2() -> None:
    with pytest.raises(NotEnoughData, match="split"):
        cut(data_of(BACKGROUND), Protocol.GIVEN_SPLIT, validates=False)


def test_a_split_without_a_test_asks_nothing() -> None:
    with pytest.raises(NotEnoughData, match="P2 finds nothing to ask"):
        cut(data_of(BACKGROUND, test=[False] * 16), Protocol.GIVEN_SPLIT, validates=False)


# P3, by time


def days(*events: tuple[str, str, float]) -> EvaluationData:
    """Of (user, item, day): events user after user."""
    ordered = sorted(events, key=lambda event: event[0])
    return data_of([event[:2] for event in ordered], [START_S + int(day * DAY_S) for _, _, day in ordered])


EARLY = [(user, item, 0.0) for user in ("yan", "zoe") for item in "abcdefgh"]


def test_the_last_week_is_asked_for_as_of_its_start() -> None:
    """The last event is on day 20, so the test begins a second after day 13: what happens then is in it from there."""
    data = days(*EARLY, ("ann", "a", 1), ("ann", "b", 13), ("ann", "c", 13.5), ("ann", "d", 20))
    task = cut(data, Protocol.BY_TIME, validates=False)
    assert learned(task)["ann"] == "ab"
    assert asked(task, task.dataset.holdout) == {"ann": ("ab", "cd")}
    assert task.repeats is Repeats.SKIPPED


def test_the_week_before_is_for_a_kind_that_validates() -> None:
    data = days(*EARLY, ("ann", "a", 1), ("ann", "b", 12), ("ann", "c", 19), ("bob", "d", 20))
    task = cut(data, Protocol.BY_TIME, validates=True)
    assert learned(task)["ann"] == "a"
    assert asked(task, task.dataset.validation) == {"ann": ("a", "b")}
    assert asked(task, task.dataset.holdout) == {"ann": ("ab", "c")}


def test_users_and_items_that_are_new_in_the_test_are_dropped() -> None:
    data = days(*EARLY, ("ann", "a", 1), ("ann", "b", 20), ("ann", "new", 20), ("bob", "c", 20))
    task = cut(data, Protocol.BY_TIME, validates=False)
    assert asked(task, task.dataset.holdout) == {"ann": ("a", "b")}


def test_a_pair_counts_once_however_often_it_is_in_the_test() -> None:
    data = days(*EARLY, ("ann", "a", 1), ("ann", "b", 19), ("ann", "b", 20))
    task = cut(data, Protocol.BY_TIME, validates=False)
    assert asked(task, task.dataset.holdout) == {"ann": ("a", "b")}


def test_nothing_after_the_end_is_there() -> None:
    """A replayed day ends at midnight: neither its questions nor its catalogue know what comes later."""
    data = days(*EARLY, ("ann", "a", 1), ("ann", "b", 10.5), ("ann", "c", 11))
    task = at_time(data, START_S + 10 * DAY_S, START_S + 11 * DAY_S, validation_days=7, validates=False)
    assert asked(task, task.dataset.holdout) == {"ann": ("a", "b")}
    assert task.dataset.bounds_us["cut_us"] == (START_S + 10 * DAY_S) * 1_000_000


def test_a_moment_of_midnight_belongs_to_the_day_that_begins() -> None:
    data = days(*EARLY, ("ann", "a", 1), ("ann", "b", 10), ("ann", "c", 11))
    task = at_time(data, START_S + 10 * DAY_S, START_S + 11 * DAY_S, validation_days=7, validates=False)
    assert asked(task, task.dataset.holdout) == {"ann": ("a", "b")}


def test_places_are_no_times_and_do_not_fit_p3() -> None:
    with pytest.raises(NotEnoughData, match="places in a history"):
        cut(data_of(BACKGROUND), Protocol.BY_TIME, validates=False)


def test_a_week_of_strangers_asks_nothing() -> None:
    with pytest.raises(NotEnoughData, match="P3 finds nothing to ask"):
        cut(days(*EARLY, ("ann", "a", 20)), Protocol.BY_TIME, validates=False)
