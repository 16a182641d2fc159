"""Sampled keys: exact while there are few, bounded and near where there are many."""

import numpy as np
import pytest

from services.training.checking.keys import SampledKeys, mixed, word_keys
from services.training.checking.windows import NUM_WINDOWS


def keys_of(numbers: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> "np.ndarray[tuple[int], np.dtype[np.uint64]]":
    return mixed(numbers.view(np.uint64))


def test_few_are_counted_exactly() -> None:
    numbers = np.array([1, 2, 2, 3, 1, 1], np.int64)
    windows = np.array([0, 0, 0, 0, 4, 4], np.int64)
    for once, held in ((True, [3, 1]), (False, [4, 2])):
        sample = SampledKeys(once=once)
        sample.add(keys_of(numbers), windows)
        assert sample.one_in == 1
        assert sample.num_held()[[0, 4]].tolist() == held
        assert sample.num_different()[[0, 4]].tolist() == [3, 1]
        assert sample.num_held().sum() == sum(held)


@pytest.mark.parametrize("once", [True, False])
def test_many_are_sampled_within_the_bound_and_the_estimate_is_near(once: bool) -> None:
    """400,000 different keys, each twice, in windows of different sizes; at most 20,000 are held at any time."""
    random, sample, held = np.random.default_rng(5), SampledKeys(once=once, max_keys=20_000), []
    numbers = np.repeat(np.arange(400_000), 2)
    random.shuffle(numbers)
    windows = np.where(numbers % 4 == 0, 0, 1)
    for start in range(0, len(numbers), 10_000):
        sample.add(keys_of(numbers[start : start + 10_000]), windows[start : start + 10_000])
        held.append(int(sample.num_held().sum()))
    assert max(held) <= 20_000
    assert sample.one_in > 1
    estimate = sample.num_different() * sample.one_in
    assert estimate[0] == pytest.approx(100_000, rel=0.05)
    assert estimate[1] == pytest.approx(300_000, rel=0.05)
    assert sample.num_different().sum() * (1 if once else 2) == sample.num_held().sum()


def test_a_key_says_which_part_was_what() -> None:
    """Else a user named as an item would be a duplicate."""
    ada, book = word_keys(["ada", "book"])
    parts = np.array([ada]), np.array([book])
    assert mixed(*parts)[0] != mixed(*reversed(parts))[0]


def test_keys_are_spread_evenly_whatever_they_are_made_of() -> None:
    """The low bits choose the sample: of times in whole minutes as many as of any."""
    keys = keys_of(np.arange(100_000, dtype=np.int64) * 60_000_000)
    assert np.bincount((keys & np.uint64(15)).astype(np.int64), minlength=16) == pytest.approx(6_250, rel=0.06)


def test_nothing_is_nothing() -> None:
    sample = SampledKeys(once=False)
    sample.add(np.empty(0, np.uint64), np.empty(0, np.int64))
    assert sample.num_held().tolist() == sample.num_different().tolist() == [0] * NUM_WINDOWS
