"""Metrics held against cases worked by hand."""

import math

import numpy as np
import pytest

from services.training.evaluation.metrics import MISS, Judged, coverage

RANKS = np.array([0, 1, 3, 9, 10, MISS], np.int64)
ONE_EACH = Judged.one_target_each(RANKS, np.arange(6), length=20)


def judged(*lists: tuple[str, int]) -> Judged:
    """Of (list, relevant items): "x.x." is a list whose first and third items are relevant."""
    relevant = np.array([[mark == "x" for mark in marks] for marks, _ in lists])
    return Judged(relevant, np.array([num for _, num in lists]), np.arange(len(lists)))


def test_ndcg_is_one_over_the_log_of_the_place_within_the_list() -> None:
    """First place: 1; second: 1 / log2(3); fourth: 1 / log2(5); tenth: 1 / log2(11); later or absent: 0."""
    expected = [1.0, 1 / math.log2(3), 1 / math.log2(5), 1 / math.log2(11), 0.0, 0.0]
    assert ONE_EACH.ndcg(10).tolist() == pytest.approx(expected)


def test_a_hit_is_a_rank_below_k() -> None:
    assert ONE_EACH.hits(10).tolist() == [1, 1, 1, 1, 0, 0]
    assert ONE_EACH.hits(2).tolist() == [1, 1, 0, 0, 0, 0]


def test_of_one_relevant_item_recall_is_the_hit_and_the_average_precision_its_reciprocal_rank() -> None:
    reciprocal = [1, 1 / 2, 1 / 4, 1 / 10, 0, 0]
    assert ONE_EACH.recall(10).tolist() == ONE_EACH.hits(10).tolist()
    assert ONE_EACH.reciprocal_rank(10).tolist() == pytest.approx(reciprocal)
    assert ONE_EACH.average_precision(10).tolist() == pytest.approx(reciprocal)


def test_a_hit_counts_once_however_many_are_found() -> None:
    assert judged(("xx..", 3), ("...x", 2), ("....", 1)).hits(4).tolist() == [1, 1, 0]


def test_recall_is_of_all_that_was_chosen_and_precision_of_all_that_was_shown() -> None:
    """Two of three chosen are among the first four, one of them among the first two."""
    lists = judged(("x.x.", 3))
    assert lists.recall(4).tolist() == pytest.approx([2 / 3])
    assert lists.recall(2).tolist() == pytest.approx([1 / 3])
    assert lists.precision(4).tolist() == [2 / 4]


def test_ndcg_of_several_is_held_against_the_best_list_there_can_be() -> None:
    """Found at places 1 and 3, with three chosen: (1 + 1/2) over (1 + 1/log2(3) + 1/2)."""
    assert judged(("x.x.", 3)).ndcg(4).tolist() == pytest.approx([1.5 / (1.5 + 1 / math.log2(3))])


def test_the_best_list_is_no_longer_than_k() -> None:
    """Five were chosen and both shown are among them: no list of two is better."""
    assert judged(("xx..", 5)).ndcg(2).tolist() == [1.0]
    assert judged(("xx..", 5)).average_precision(2).tolist() == [1.0]
    assert judged(("xx..", 5)).recall(2).tolist() == [2 / 5]


def test_the_reciprocal_rank_is_that_of_the_first() -> None:
    assert judged((".xx.", 2), ("...x", 1)).reciprocal_rank(4).tolist() == [1 / 2, 1 / 4]
    assert judged((".xx.", 2), ("...x", 1)).reciprocal_rank(3).tolist() == [1 / 2, 0]


def test_average_precision_is_the_precision_at_each_relevant_item() -> None:
    """At place 1 one of one, at place 3 two of three; a third was chosen and not shown."""
    assert judged(("x.x.", 3)).average_precision(4).tolist() == pytest.approx([(1 + 2 / 3) / 3])


def test_lists_are_not_judged_beyond_their_length() -> None:
    """Else a figure at 50 would quietly be one at 20."""
    with pytest.raises(ValueError, match="lists of 4"):
        judged(("x.x.", 3)).ndcg(5)


def test_coverage_counts_each_item_once() -> None:
    """Items 0, 2 and 3 of eight were shown."""
    assert coverage(np.array([0, 2, 2, 3, 0]), 8) == 3 / 8
