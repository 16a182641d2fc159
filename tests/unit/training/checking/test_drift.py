"""The population stability index, what chance makes of it, and the groups of items it is of."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.training.checking.drift import (
    NUM_GROUPS,
    by_chance,
    mix_drift,
    popularity_drift,
    popularity_groups,
    stability_index,
)
from services.training.checking.windows import NUM_BEFORE, NUM_WINDOWS

ALL_DAYS = list(range(1, NUM_BEFORE + 1))
MIX = st.lists(st.integers(0, 10**6), min_size=3, max_size=3).map(lambda counts: np.array(counts, np.int64))


def test_a_case_worked_by_hand() -> None:
    """Halves that become three quarters and one: 0.25 * ln(1.5) - 0.25 * ln(0.5)."""
    found = stability_index(np.array([750_000, 250_000]), np.array([500_000, 500_000]))
    assert found == pytest.approx(0.25 * np.log(1.5) + 0.25 * np.log(2), rel=1e-4)


@given(one=MIX, other=MIX)
def test_it_is_symmetric_and_never_below_zero(one: np.ndarray, other: np.ndarray) -> None:
    assert stability_index(one, other) == pytest.approx(stability_index(other, one))
    assert stability_index(one, other) >= 0
    assert stability_index(one, one) == 0


@pytest.mark.parametrize(("num_now", "num_before"), [(50, 700), (300, 4_000), (20_000, 20_000)])
def test_two_samples_of_one_mix_stay_below_what_chance_makes(num_now: int, num_before: int) -> None:
    """In at least 97 of 100, as three deviations of a chi-square variable promise."""
    random, mix = np.random.default_rng(3), [0.5, 0.3, 0.15, 0.05]
    within = 0
    for _ in range(300):
        now, before = random.multinomial(num_now, mix), random.multinomial(num_before, mix)
        within += stability_index(now, before) <= by_chance(now, before, 3.0)
    assert within >= 0.97 * 300


def test_groups_have_about_as_many_events_each_and_the_most_popular_come_first() -> None:
    before = np.random.default_rng(2).zipf(1.6, 5_000).clip(max=400).astype(np.int64)
    groups = popularity_groups(before)
    for group in range(NUM_GROUPS - 1):
        of_group, of_next = before[groups == group], before[groups > group]
        assert not len(of_group) or not len(of_next) or of_group.min() >= of_next.max()
    even = popularity_groups(np.arange(1_000, dtype=np.int64))
    mass = np.bincount(even, np.arange(1_000), NUM_GROUPS)
    assert mass == pytest.approx(mass.mean(), rel=0.05)


def test_items_that_are_equally_popular_share_a_group_and_those_without_events_the_last() -> None:
    groups = popularity_groups(np.array([5, 0, 5, 5, 0, 9], np.int64))
    assert len(set(groups[[0, 2, 3]].tolist())) == 1
    assert groups[1] == groups[4] == NUM_GROUPS - 1
    assert groups[5] == groups.min()


def item_days(num_items: int, per_day: int, seed: int = 4) -> np.ndarray:
    random = np.random.default_rng(seed)
    share = 1 / np.arange(1, num_items + 1)
    return random.multinomial(per_day, share / share.sum(), NUM_WINDOWS).T.astype(np.int32)


@pytest.mark.parametrize("num_items", [100, 3_000, 50_000])
def test_a_catalogue_larger_than_a_day_is_no_drift(num_items: int) -> None:
    """Most items then have no event on most days; groups made of the days they are compared on would say that all of
    them became popular overnight.
    """
    counts = item_days(num_items, 2_000)
    long_known = np.full(num_items, 99)
    figure, bounds = popularity_drift(counts, long_known, ALL_DAYS, most=0.25, deviations=3.0)
    assert figure < 0.1
    assert bounds.high == pytest.approx(0.25)
    counts[:, 0] = counts[::-1, 0]
    assert not bounds.hold(popularity_drift(counts, long_known, ALL_DAYS, most=0.25, deviations=3.0)[0])


def test_items_unknown_before_are_no_part_of_it() -> None:
    counts = item_days(100, 2_000)
    with_new = np.concatenate((counts, np.zeros((50, NUM_WINDOWS), np.int32)))
    with_new[100:, 0] = 1_000
    first = np.array([99] * 100 + [0] * 50)
    asked = {"most": 0.25, "deviations": 3.0}
    assert popularity_drift(with_new, first, ALL_DAYS, **asked) == popularity_drift(
        counts, first[:100], ALL_DAYS, **asked
    )


def test_a_mix_that_always_drifts_is_usual() -> None:
    """Each day another type leads: tonight's change is as large as every night's."""
    turning = np.full((5, NUM_WINDOWS), 100, np.int64)
    for day in range(NUM_WINDOWS):
        turning[day % 5, day] = 5_000
    figure, bounds = mix_drift(turning, ALL_DAYS, most=0.25, deviations=3.0)
    assert figure > 0.25
    assert bounds.hold(figure)


def test_the_weekdays_own_mix_is_one_to_be_like() -> None:
    counts = np.full((2, NUM_WINDOWS), 5_000, np.int64)
    counts[:, ::7] = [[500], [9_500]]
    figure, bounds = mix_drift(counts, ALL_DAYS, most=0.25, deviations=3.0)
    assert figure == pytest.approx(0, abs=1e-3)
    counts[:, [7, 14]] = 5_000
    assert not bounds.hold(mix_drift(counts, ALL_DAYS, most=0.25, deviations=3.0)[0])
