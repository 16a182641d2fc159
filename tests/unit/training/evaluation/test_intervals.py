"""Intervals held against what is known of them."""

import math

import numpy as np
import pytest

from services.training.evaluation.intervals import bootstrap_mean


def test_the_interval_of_a_constant_is_that_constant() -> None:
    interval = bootstrap_mean(np.full(50, 0.25), np.arange(50) % 7, num_resamples=100, seed=1)
    assert (interval.low, interval.high) == pytest.approx((0.25, 0.25))


def test_the_interval_is_that_of_the_mean_when_every_user_has_one_event() -> None:
    """For n independent figures it is about mean ± 1.96 standard errors."""
    values = np.random.default_rng(3).normal(0.1, 1.0, 2_000)
    interval = bootstrap_mean(values, np.arange(2_000), num_resamples=2_000, seed=1)
    error = values.std() / math.sqrt(2_000)
    assert interval.low == pytest.approx(values.mean() - 1.96 * error, abs=0.3 * error)
    assert interval.high == pytest.approx(values.mean() + 1.96 * error, abs=0.3 * error)


def test_events_of_one_user_are_drawn_together() -> None:
    """A hundred equal events of one user say no more than one: with two users the interval spans both."""
    values, users = np.repeat([0.0, 1.0], 100), np.repeat([0, 1], 100)
    interval = bootstrap_mean(values, users, num_resamples=500, seed=1)
    assert (interval.low, interval.high) == (0.0, 1.0)


def test_the_same_seed_gives_the_same_interval_and_another_seed_another() -> None:
    values = np.random.default_rng(0).random(300)
    users = np.arange(300) % 40
    first = bootstrap_mean(values, users, num_resamples=200, seed=5)
    assert bootstrap_mean(values, users, num_resamples=200, seed=5) == first
    assert bootstrap_mean(values, users, num_resamples=200, seed=6) != first


def test_a_wider_confidence_gives_a_wider_interval() -> None:
    values, users = np.random.default_rng(0).random(300), np.arange(300)
    narrow = bootstrap_mean(values, users, seed=5, confidence=0.5)
    wide = bootstrap_mean(values, users, seed=5, confidence=0.99)
    assert wide.low < narrow.low < narrow.high < wide.high


def test_many_users_are_drawn_in_blocks_and_all_of_them_count(monkeypatch: pytest.MonkeyPatch) -> None:
    """Where not all draws fit into memory at once, the interval is as sure as before."""
    values, users = np.random.default_rng(0).random(400), np.arange(400)
    at_once = bootstrap_mean(values, users, seed=5)
    monkeypatch.setattr("services.training.evaluation.intervals.BLOCK_CELLS", 3 * 400)
    in_blocks = bootstrap_mean(values, users, seed=5)
    assert (in_blocks.low, in_blocks.high) == pytest.approx((at_once.low, at_once.high), abs=0.005)
