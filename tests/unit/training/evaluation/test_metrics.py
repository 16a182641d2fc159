"""Metrics held against cases worked by hand."""

import math

import numpy as np
import pytest

from services.training.metrics import MISS, bootstrap_mean, coverage, hits, ndcg

RANKS = np.array([0, 1, 3, 9, 10, MISS], np.int64)


def test_ndcg_is_one_over_the_log_of_the_place_within_the_list() -> None:
    """First place: 1; second: 1 / log2(3); fourth: 1 / log2(5); tenth: 1 / log2(11); later or absent: 0."""
    expected = [1.0, 1 / math.log2(3), 1 / math.log2(5), 1 / math.log2(11), 0.0, 0.0]
    assert ndcg(RANKS, 10).tolist() == pytest.approx(expected)


def test_a_hit_is_a_rank_below_k() -> None:
    assert hits(RANKS, 10).tolist() == [1, 1, 1, 1, 0, 0]
    assert hits(RANKS, 2).tolist() == [1, 1, 0, 0, 0, 0]


def test_coverage_counts_each_item_once() -> None:
    """Items 0, 2 and 3 of eight were shown."""
    assert coverage(np.array([0, 2, 2, 3, 0]), 8) == 3 / 8


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
