"""The protocol on cases worked by hand: four items, scores that are known."""

import numpy as np
import pytest

from services.domain.errors import TrainingFailed
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.vocabulary import Vocabulary, input_types
from services.features.history import Histories
from services.training.dataset import Moments
from services.training.evaluate import Ranks, rank_targets
from services.training.metrics import MISS
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


def ranks(table: Histories, *moments: tuple[int, int, int]) -> Ranks:
    """Of (user row, time, target row)."""
    user_rows, times_us, targets = (np.array(column, np.int64) for column in zip(*moments, strict=True))
    return rank_targets(likes_a_most, Moments(user_rows, times_us, targets), table, POPULARITY, max_history=10)


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
    assert 0 not in found.shown


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
    assert sorted(found.shown.tolist()) == [1, 2, 3]


def test_scores_that_are_no_numbers_fail_loudly() -> None:
    """NaN compares as better than nothing: without the check a broken model would rank every target first."""
    table = histories((1, "ann", "a", "view"))
    moments = Moments(np.array([0]), np.array([5]), np.array([1]))
    broken = lambda asked: np.full((len(asked), 4), np.nan, np.float32)  # noqa: E731
    with pytest.raises(TrainingFailed, match="no numbers"):
        rank_targets(broken, moments, table, POPULARITY, max_history=10)
