"""How far a day's mix is from the days before: the population stability index.

PSI = sum over groups of (p - q) * ln(p / q), a symmetric divergence in nats. Below 0.1 is taken for no change, above
0.25 for a large one (Siddiqi, Credit Risk Scorecards, 2006). Two samples of one mix differ too: with N and M events in
B groups PSI is about (1 / N + 1 / M) times a chi-square variable of B - 1 degrees of freedom (Yurdakul and Naranjo,
Statistical Properties of the Population Stability Index, Journal of Risk Model Validation, 2020), so bounds give way
where there are few events.
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from services.training.checking.usual import Bounds, Figures, spread_of
from services.training.checking.windows import same_weekday

Counts = npt.NDArray[np.int64]

NUM_GROUPS: Final = 10  # of popularity. Larger: more of it is chance; smaller: a change within a group goes unseen
MIN_BEFORE: Final = 3  # days that a mix is taken from. Larger: fewer earlier figures to compare with; smaller: noise


def stability_index(present: Counts, before: Counts) -> float:
    """PSI of two mixes of the same groups, (num_groups,) events each. Half an event is added to each group."""
    p, q = ((counts + 0.5) / (counts.sum() + 0.5 * len(counts)) for counts in (present, before))
    return float(np.sum((p - q) * np.log(p / q)))


def by_chance(present: Counts, before: Counts, deviations: float) -> float:
    """The PSI that so few events reach without any change: its mean and so many standard deviations."""
    degrees = max(len(present) - 1, 1)
    rates = 1 / max(present.sum(), 1) + 1 / max(before.sum(), 1)
    return float((degrees + deviations * np.sqrt(2 * degrees)) * rates)


def mix_drift(of_windows: Counts, num_before: int, *, most: float, deviations: float) -> tuple[float, Bounds]:
    """Tonight's PSI and its bounds. of_windows: (num_groups, >= 1 + num_before), the newest first; num_before > 0.

    Tonight's is the smaller one of that against all days before and against the same weekday. Each earlier day with
    enough days before it is held against those, so that a mix which always drifts is usual.
    """
    weekdays = list(same_weekday(num_before))
    references = [list(range(1, 1 + num_before)), *([weekdays] if weekdays else [])]
    present, pooled = of_windows[:, 0], [of_windows[:, each].sum(axis=1) for each in references]
    figure = min(stability_index(present, before) for before in pooled)
    earlier = [
        stability_index(of_windows[:, day], of_windows[:, day + 1 : 1 + num_before].sum(axis=1))
        for day in range(1, num_before + 1 - MIN_BEFORE)
    ]
    return figure, _bounds(np.array(earlier), by_chance(present, pooled[0], deviations), most, deviations)


def popularity_drift(
    item_counts: npt.NDArray[np.int32], item_first: Counts, num_before: int, *, most: float, deviations: float
) -> tuple[float, Bounds]:
    """As `mix_drift`, of groups of items with about as many events each, by how popular the days before found them.

    item_counts: (num_items, >= 1 + num_before). item_first: (num_items,), the window of each item's first event. Items
    that were unknown before a day are left out of it: they have a rule of their own. Which item is in which group
    follows from the days before alone, and from their numbers of events alone.
    """
    figure, chance = _popularity_index(item_counts, item_first, 0, range(1, num_before + 1), deviations)
    weekdays = same_weekday(num_before)
    if weekdays:
        figure = min(figure, _popularity_index(item_counts, item_first, 0, weekdays, deviations)[0])
    earlier = [
        _popularity_index(item_counts, item_first, day, range(day + 1, num_before + 1), deviations)[0]
        for day in range(1, num_before + 1 - MIN_BEFORE)
    ]
    return figure, _bounds(np.array(earlier), chance, most, deviations)


def popularity_groups(before: Counts) -> npt.NDArray[np.int64]:
    """Each item's group, (num_items,), the most popular in 0; items with equally many events are in one group."""
    numbers, inverse, items = np.unique(before, return_inverse=True, return_counts=True)
    mass = numbers * items
    middle = np.cumsum(mass[::-1])[::-1] - mass / 2  # events of more popular items, and half of these ones'
    groups = np.minimum((NUM_GROUPS * middle / max(mass.sum(), 1)).astype(np.int64), NUM_GROUPS - 1)
    of_items: npt.NDArray[np.int64] = groups[inverse]
    return of_items


def _popularity_index(
    item_counts: npt.NDArray[np.int32], item_first: Counts, day: int, days_before: Sequence[int], deviations: float
) -> tuple[float, float]:
    """PSI of one day, and that of chance; 0 where no known item has an event that day."""
    known = item_first > day
    present = item_counts[known, day].astype(np.int64)
    before = item_counts[known][:, list(days_before)].sum(axis=1, dtype=np.int64)
    if not present.sum() or not before.sum():
        return 0.0, 0.0
    used, groups = np.unique(popularity_groups(before), return_inverse=True)
    now, then = (np.bincount(groups, weights, len(used)).astype(np.int64) for weights in (present, before))
    return stability_index(now, then), by_chance(now, then, deviations)


def _bounds(earlier: Figures, chance: float, most: float, deviations: float) -> Bounds:
    usual = float(np.median(earlier)) if len(earlier) else 0.0
    return Bounds(usual, None, max(most, chance, usual + deviations * spread_of(earlier)))
