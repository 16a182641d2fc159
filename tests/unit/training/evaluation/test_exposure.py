"""Novelty and Gini, on lists worked by hand."""

import numpy as np
import pytest

from services.training.data.dataset import CountedEvents
from services.training.evaluation.exposure import gini, novelty, self_information
from services.training.evaluation.ranking import NOTHING


def counted(*pairs: tuple[int, int]) -> CountedEvents:
    """Of (user row, item row)."""
    users, items = (np.array(column, np.int32) for column in zip(*pairs, strict=True))
    return CountedEvents(users, items, np.ones(len(pairs), np.float32), np.arange(len(pairs)))


def test_what_half_of_the_users_took_to_says_one_bit() -> None:
    """Of four users all took to item 1, two to item 2 and one to item 3; item 4, that of nobody, counts as of one."""
    pairs = [(0, 1), (1, 1), (2, 1), (3, 1), (0, 2), (1, 2), (2, 3)]
    assert self_information(counted(*pairs), 4).tolist() == [0.0, 1.0, 2.0, 2.0]


def test_a_user_counts_once_for_an_item() -> None:
    """Ten plays by one of two users leave it an item of half of them."""
    assert self_information(counted(*[(0, 1)] * 10, (1, 2)), 2).tolist() == [1.0, 1.0]


def test_novelty_is_the_mean_over_all_that_is_shown() -> None:
    """0 and 1 bits in one list, 2 bits and an empty place in the other."""
    lists = np.array([[0, 1], [2, NOTHING]])
    assert novelty(lists, np.array([0.0, 1.0, 2.0])) == 1.0
    assert novelty(np.full((2, 2), NOTHING), np.array([1.0])) == 0.0


def test_when_each_item_is_shown_alike_there_is_no_inequality() -> None:
    assert gini(np.array([[0, 1], [2, 3]]), 4) == 0.0


def test_when_one_of_four_has_every_place_inequality_is_the_most_there_can_be() -> None:
    """(n - 1) / n of it: with n items the value 1 is never reached."""
    assert gini(np.array([[0], [0], [0]]), 4) == 3 / 4


def test_items_that_are_never_shown_count() -> None:
    """Places 0, 0, 1, 3 of four items: (-3*0 - 1*0 + 1*1 + 3*3) / (4 * 4)."""
    assert gini(np.array([[0, 1], [0, NOTHING], [0, NOTHING]]), 4) == pytest.approx(10 / 16)


def test_gini_is_the_mean_difference_of_all_pairs() -> None:
    """Its other definition: mean absolute difference over twice the mean."""
    lists = np.random.default_rng(3).zipf(1.5, size=(50, 4)) % 20
    places = np.bincount(lists.ravel(), minlength=20)
    pairs = np.abs(places[:, np.newaxis] - places).mean()
    assert gini(lists, 20) == pytest.approx(pairs / (2 * places.mean()))


def test_lists_of_nothing_are_not_uneven() -> None:
    assert gini(np.full((2, 2), NOTHING), 3) == 0.0
