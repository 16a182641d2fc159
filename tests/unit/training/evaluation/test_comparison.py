"""Two models on the same questions."""

import numpy as np
import pytest

from services.training.evaluation.comparison import gain


def test_a_gain_is_the_mean_of_the_differences_with_both_sides_counted() -> None:
    found = gain(np.array([1.0, 0.5, 0.2, 0.0]), np.array([0.5, 0.5, 0.4, 0.0]), np.arange(4), seed=1)
    assert found.mean == pytest.approx((0.5 - 0.2) / 4)
    assert (found.num_better, found.num_worse) == (1, 1)
    assert found.interval.low < found.mean < found.interval.high


def test_of_a_model_and_itself_nothing_is_gained_for_sure() -> None:
    figures = np.random.default_rng(0).random(50)
    found = gain(figures, figures, np.arange(50), seed=1)
    assert (found.mean, found.interval.low, found.interval.high) == (0.0, 0.0, 0.0)


def test_a_small_gain_on_every_question_is_sure_although_the_questions_differ() -> None:
    """Figures from 0 to 1, and one model always a hundredth above: unpaired, no such gain could be seen."""
    figures = np.random.default_rng(0).random(200)
    found = gain(figures + 0.01, figures, np.arange(200), seed=1)
    assert (found.interval.low, found.interval.high) == pytest.approx((0.01, 0.01))


def test_one_user_with_many_questions_makes_nothing_sure() -> None:
    """Two users, one with a hundred better answers and one with a hundred worse."""
    better = np.repeat([1.0, 0.0], 100)
    found = gain(better, 1 - better, np.repeat([0, 1], 100), seed=1)
    assert (found.interval.low, found.interval.high) == (-1.0, 1.0)


def test_what_cannot_be_paired_is_refused() -> None:
    with pytest.raises(ValueError, match="cannot be paired"):
        gain(np.zeros(3), np.zeros(2), np.arange(3), seed=1)
