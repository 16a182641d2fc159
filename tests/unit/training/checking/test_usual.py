"""What is usual, and how far from it is too far."""

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.training.checking.usual import Before, count_bounds, share_bounds, spread_of
from services.training.checking.windows import NUM_BEFORE, NUM_WINDOWS, days_before, same_weekday

ALL_DAYS = list(range(1, NUM_BEFORE + 1))
COUNTS = st.lists(st.integers(0, 10**7), min_size=NUM_WINDOWS, max_size=NUM_WINDOWS)
SHARES = st.lists(st.floats(0, 1), min_size=NUM_WINDOWS, max_size=NUM_WINDOWS)


def before(figures: list[float]) -> Before:
    """figures: of the days before, the newest first."""
    return Before.of(np.array([0.0, *figures]), list(range(1, len(figures) + 1)))


def counts(figures: list[float], deviations: float = 3.0) -> tuple[float, float]:
    bounds = count_bounds(before(figures), min_share=0.6, max_share=3.0, deviations=deviations)
    assert bounds.low is not None
    assert bounds.high is not None
    return bounds.low, bounds.high


def test_of_even_days_the_bounds_are_the_shares_of_what_is_usual() -> None:
    assert counts([1_000.0] * 14) == pytest.approx((600, 3_000))


def test_days_that_differ_widen_them() -> None:
    """Half of the days are half as large again: a spread of 1.4826 * ln(1.5) / 2 in logarithms, times 3."""
    low, high = counts([8_000.0, 12_000.0] * 3)
    assert low == pytest.approx(np.sqrt(8_001 * 12_001) / 1.5 ** (3 * 1.4826 / 2), rel=1e-3)
    assert high == pytest.approx(30_000, rel=0.03)


def test_few_events_widen_them_by_what_chance_makes() -> None:
    """Of a Poisson variable of mean 9 three deviations are 9, so that none at all is no surprise yet."""
    low, _ = counts([9.0] * 14)
    assert low == 0
    assert counts([100.0] * 14)[0] == pytest.approx(60)
    assert counts([40.0] * 14)[0] == pytest.approx(40 - 3 * np.sqrt(41))


@pytest.mark.parametrize("nonsense", [0, 10, 10**9])
@pytest.mark.parametrize("day", [1, 7, 14])
def test_one_day_of_nonsense_does_not_move_them(day: int, nonsense: int) -> None:
    """Not even where it is one of the two of the same weekday."""
    figures = [float(nonsense if each == day else 1_000) for each in ALL_DAYS]
    assert counts(figures) == pytest.approx((600, 3_000))


def test_the_same_weekday_counts_beside_the_others() -> None:
    """Numbers 7 and 14 are a third as large: that is usual today, and so is what the others are."""
    figures = [300.0 if day % 7 == 0 else 1_000.0 for day in ALL_DAYS]
    assert counts(figures) == pytest.approx((180, 3_000))
    figures = [300.0 if day % 7 == 1 else 1_000.0 for day in ALL_DAYS]
    assert counts(figures) == pytest.approx((600, 3_000))


def test_a_share_of_zero_switches_an_end_off() -> None:
    bounds = count_bounds(before([10.0] * 5), min_share=0, max_share=0, deviations=3)
    assert (bounds.low, bounds.high) == (None, None)
    assert bounds.hold(0.0)


def test_a_margin_is_of_what_is_left() -> None:
    """A news site, where nine of ten events are on new items, has a bound below 1, too."""
    high = share_bounds(before([0.9] * 14), 10**6, margin=0.2, deviations=3).high
    assert high == pytest.approx(0.92)
    assert share_bounds(before([0.0] * 14), 10**6, margin=0.2, deviations=3).high == pytest.approx(0.2)


def test_a_share_of_few_events_may_be_what_chance_makes() -> None:
    high = share_bounds(before([0.1] * 14), 20, margin=0.05, deviations=3).high
    assert high is not None
    assert high > 0.25
    assert share_bounds(before([0.5] * 14), 2, margin=0.05, deviations=3).high == 1.0


@given(figures=COUNTS, deviations=st.floats(1, 20))
def test_what_is_usual_is_always_within_the_bounds(figures: list[int], deviations: float) -> None:
    usual = Before.of(np.array(figures, np.float64), ALL_DAYS)
    bounds = count_bounds(usual, min_share=0.6, max_share=3.0, deviations=deviations)
    assert bounds.hold(usual.usual)


@given(figures=SHARES, num_events=st.integers(0, 10**6), deviations=st.floats(1, 20))
def test_and_so_is_a_usual_share(figures: list[float], num_events: int, deviations: float) -> None:
    usual = Before.of(np.array(figures), ALL_DAYS)
    assert share_bounds(usual, num_events, margin=0.01, deviations=deviations).hold(usual.usual)


@given(figures=COUNTS)
def test_more_deviations_never_narrow_the_bounds(figures: list[int]) -> None:
    usual = Before.of(np.array(figures, np.float64), ALL_DAYS)
    wider = [count_bounds(usual, min_share=0.6, max_share=3.0, deviations=each) for each in (1.0, 2.0, 4.0)]
    for narrow, wide in pairwise(wider):
        assert narrow.low is not None and wide.low is not None and wide.low <= narrow.low  # noqa: PT018
        assert narrow.high is not None and wide.high is not None and wide.high >= narrow.high  # noqa: PT018


def test_the_spread_of_a_normal_sample_is_its_standard_deviation() -> None:
    assert spread_of(np.random.default_rng(1).normal(5, 2, 100_000)) == pytest.approx(2, rel=0.02)
    assert spread_of(np.empty(0)) == 0


@pytest.mark.parametrize(
    ("with_events", "days"),
    [
        ([0], []),
        ([0, 1], []),
        ([0, 1, 2, 3], [1, 2]),
        (range(NUM_WINDOWS + 1), ALL_DAYS),
        (range(NUM_WINDOWS), ALL_DAYS[:-1]),
        ([0, 1, 5, 6], [1, 5]),
        ([0, 1, 2, NUM_WINDOWS], [1, 2]),
    ],
    ids=["one day", "two", "four", "all", "all but the one before", "a closed shop", "and a stray event"],
)
def test_days_before_are_those_with_events_but_the_oldest(with_events: list[int], days: list[int]) -> None:
    num_events = np.zeros(NUM_WINDOWS + 1, np.int64)
    num_events[list(with_events)] = 5
    assert days_before(num_events) == days


def test_the_same_weekday_is_seven_days_before() -> None:
    assert same_weekday(ALL_DAYS) == [7, 14]
    assert same_weekday([1, 2, 8]) == []
