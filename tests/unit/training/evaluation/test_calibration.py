"""Calibration, on tastes worked by hand."""

import math

import numpy as np
import pytest

from services.domain.ids import ItemId
from services.training.data.content import ItemContent
from services.training.evaluation.calibration import miscalibration
from services.training.evaluation.ranking import NOTHING

FEATURES = {"a": ("love",), "b": ("love",), "c": ("war",), "d": ("war",), "e": ("love", "war"), "f": ()}
CONTENT = ItemContent.of([ItemId(item) for item in FEATURES], {ItemId(item): of for item, of in FEATURES.items()})


def of(history: str, shown: str) -> float | None:
    """For one user, by items' letters; "." is an empty place."""
    rows = np.array(["abcdef".index(item) + 1 for item in history], np.int64)
    places = [NOTHING if item == "." else "abcdef".index(item) for item in shown]
    return miscalibration([rows], np.array([places], np.int64), CONTENT)


def test_a_list_of_the_same_mix_is_calibrated() -> None:
    """Half love, half war: by one item of each, or by an item that is both."""
    assert of("ac", "bd") == pytest.approx(0.0)
    assert of("ac", "e") == pytest.approx(0.0)


def test_a_list_of_the_larger_taste_alone_strays() -> None:
    """Three of four love, one war, shown love: 3/4 log(.75 / (.99 + .0075)) + 1/4 log(.25 / .0025)."""
    expected = 0.75 * math.log(0.75 / (0.99 + 0.01 * 0.75)) + 0.25 * math.log(100)
    assert of("aabc", "ab") == pytest.approx(expected)


def test_a_list_of_none_of_the_tastes_strays_as_far_as_can_be() -> None:
    """log(1 / .01), as does one that shows nothing, or nothing that is known of."""
    assert of("aa", "cd") == pytest.approx(math.log(100))
    assert of("aa", "..") == pytest.approx(math.log(100))
    assert of("aa", "f") == pytest.approx(math.log(100))


def test_an_item_with_many_features_has_one_vote_all_the_same() -> None:
    """The history a, e is 3/4 love; counted by features it would be 2/3."""
    assert of("ae", "bbbd") == pytest.approx(0.0)


def test_a_user_of_whose_items_nothing_is_known_has_no_mix() -> None:
    assert of("f", "ab") is None
    assert of("", "ab") is None
    assert miscalibration([np.array([1])], np.array([[0]]), ItemContent.nothing(6)) is None


def test_the_figure_is_the_mean_over_users_with_a_mix() -> None:
    histories = [np.array([1, 3]), np.array([1, 1]), np.array([6])]
    found = miscalibration(histories, np.array([[1, 3], [2, 3], [0, 1]]), CONTENT)
    assert found == pytest.approx(math.log(100) / 2)
