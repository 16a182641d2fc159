"""The protocol on cases worked by hand: four items, scores that are known."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.errors import TrainingFailed
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.vocabulary import Vocabulary, input_types
from services.features.history import Histories
from services.training.data.dataset import Moments
from services.training.evaluation.metrics import MISS
from services.training.evaluation.ranking import NOTHING, Ranked, Repeats, rank_targets, top_lists
from services.training.model import Floats, History
from tests.fakes.event_log import columns_of

VOCABULARY = Vocabulary(tuple(ItemId(item) for item in "abcd"), input_types(DEFAULT_EVENT_TYPES))
POPULARITY = np.array([1, 2, 3, 4], np.float32)


def histories(*events: tuple[int, str, str, str]) -> Histories:
    rows = [
        Interaction(EventId(f"{number:03d}"), UserId(user), ItemId(item), event_type, time_us)
        for number, (time_us, user, item, event_type) in enumerate(events)
    ]
    return Histories(columns_of(rows), VOCABULARY, DEFAULT_EVENT_TYPES)


def likes_a_most(asked: "list[History] | object") -> Floats:
    return np.tile(np.array([9, 5, 5, 1], np.float32), (len(asked), 1))  # type: ignore[arg-type]


def ranks(table: Histories, *moments: tuple[int, int, int]) -> Ranked:
    """Of (user row, time, target row)."""
    user_rows, times_us, targets = (np.array(column, np.int64) for column in zip(*moments, strict=True))
    asked = Moments(user_rows, times_us, targets, np.ones_like(targets))
    return rank_targets(likes_a_most, asked, table, POPULARITY, max_history=10)


def test_a_rank_counts_the_items_that_score_better_and_ties_go_by_row() -> None:
    """Scores 9, 5, 5, 1: items a to d rank 0, 1, 2, 3."""
    found = ranks(histories((1, "ann", "a", "view")), *((0, 5, row) for row in (1, 2, 3, 4)))
    assert found.ranks.tolist() == [0, 1, 2, 3]


def test_a_user_without_history_gets_the_popular_items() -> None:
    """At time 1 nothing is known of ann: the most popular item d comes first."""
    found = ranks(histories((1, "ann", "a", "view")), (0, 1, 4), (0, 2, 4))
    assert found.ranks.tolist() == [0, 3]


def test_consumed_items_are_masked_and_make_room() -> None:
    """Ann has rated a: b moves up to the first place, and a is shown no more."""
    found = ranks(histories((1, "ann", "a", "rating")), (0, 2, 2))
    assert found.ranks.tolist() == [0]
    assert 0 not in found.lists


def test_a_target_that_was_consumed_before_is_skipped_and_counted() -> None:
    found = ranks(histories((1, "ann", "a", "rating")), (0, 2, 1), (0, 2, 2))
    assert found.num_skipped == 1
    assert found.ranks.tolist() == [0]


def test_a_repeated_view_is_no_reason_to_skip() -> None:
    """A view consumes nothing, so watching again can be predicted."""
    assert ranks(histories((1, "ann", "a", "view")), (0, 2, 1)).num_skipped == 0


def test_an_item_outside_of_the_vocabulary_is_a_miss() -> None:
    assert ranks(histories((1, "ann", "a", "view")), (0, 2, 0)).ranks.tolist() == [MISS]


def test_an_event_of_the_same_moment_is_not_known_yet() -> None:
    """Two ratings in one microsecond: neither masks nor informs the other."""
    table = histories((1, "ann", "a", "rating"), (1, "ann", "b", "rating"))
    found = ranks(table, (0, 1, 1), (0, 1, 2))
    assert found.num_skipped == 0
    assert found.ranks.tolist() == [3, 2]  # by popularity, as nothing was known


def test_every_distinct_question_is_shown_once() -> None:
    """Two events of one moment are one question; three of four items are left for it."""
    found = ranks(histories((1, "ann", "a", "rating")), (0, 2, 2), (0, 2, 3))
    assert found.lists[found.lists != NOTHING].tolist() == [1, 2, 3]


def test_scores_that_are_no_numbers_fail_loudly() -> None:
    """NaN compares as better than nothing: without the check a broken model would rank every target first."""
    table = histories((1, "ann", "a", "view"))
    moments = Moments(np.array([0]), np.array([5]), np.array([1]), np.array([1]))
    broken = lambda asked: np.full((len(asked), 4), np.nan, np.float32)  # noqa: E731
    with pytest.raises(TrainingFailed, match="no numbers"):
        rank_targets(broken, moments, table, POPULARITY, max_history=10)


def test_an_item_that_the_model_has_no_row_of_is_in_no_list_and_a_miss() -> None:
    """Though it would come first; the others move up, for a stranger too, and the question is asked all the same."""
    table = histories((1, "ann", "a", "view"))
    moments = Moments(*(np.array(column) for column in ([0, 0, 0], [5, 5, 1], [1, 2, 3], [1, 1, 1])))
    found = rank_targets(likes_a_most, moments, table, POPULARITY, max_history=10, unknown=np.array([1, 4]))
    assert found.ranks.tolist() == [MISS, 0, 0]
    assert [line[line != NOTHING].tolist() for line in found.lists] == [[2, 1], [1, 2]]
    assert found.num_skipped == 0


def test_a_repeat_can_be_missed_or_hit_instead_of_skipped() -> None:
    table = histories((1, "ann", "a", "rating"))
    moments = Moments(*(np.array([value]) for value in (0, 2, 1, 1)))
    missed = rank_targets(likes_a_most, moments, table, POPULARITY, 10, repeats=Repeats.MISSED)
    shown = rank_targets(likes_a_most, moments, table, POPULARITY, 10, repeats=Repeats.SHOWN)
    assert (missed.ranks.tolist(), missed.num_skipped) == ([MISS], 0)
    assert shown.ranks.tolist() == [0]


def test_a_question_with_several_targets_is_judged_by_all_of_them() -> None:
    """Lists are a b c d; ann chose b and c, and nothing is left of the other question, whose target was skipped."""
    found = ranks(histories((1, "ann", "a", "rating"), (1, "bob", "a", "view")), (1, 2, 2), (1, 2, 3), (0, 2, 1))
    assert found.num_skipped == 1
    judged = found.by_question
    assert judged.num_relevant.tolist() == [2]
    assert judged.relevant[0, :4].tolist() == [False, True, True, False]
    assert judged.user_rows.tolist() == [1]


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.lists(st.sampled_from([0.0, 0.5, 1.0, -np.inf]), min_size=6, max_size=6), min_size=1, max_size=5),
    st.integers(1, 8),
)
def test_lists_are_the_best_items_with_ties_by_row_and_nothing_that_is_masked(
    scores: list[list[float]], length: int
) -> None:
    """Against sorting everything."""
    found = top_lists(np.array(scores, np.float32), length)
    for line, of_line in zip(found, scores, strict=True):
        best = [item for item in sorted(range(6), key=lambda item: -of_line[item]) if of_line[item] > -np.inf][:length]
        assert line.tolist() == best + [NOTHING] * (length - len(best))
