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


def mix_drift(of_windows: Counts, days: Sequence[int], *, most: float, deviations: float) -> tuple[float, Bounds]:
    """Tonight's PSI and its bounds. of_windows: (num_groups, NUM_WINDOWS). days: those before, the newest first.

    Tonight's is the smaller one of that against all days before and against the same weekday. Each earlier day with
    enough days before it is held against those, so that a mix which always drifts is usual.
    """
    figure, chance = _mix_index(of_windows, 0, days, deviations)
    if weekdays := same_weekday(days):
        figure = min(figure, _mix_index(of_windows, 0, weekdays, deviations)[0])
    earlier = [_mix_index(of_windows, day, before, deviations)[0] for day, before in _earlier(days)]
    return figure, _bounds(np.array(earlier), chance, most, deviations)


def popularity_drift(
    item_counts: npt.NDArray[np.int32], item_first: Counts, days: Sequence[int], *, most: float, deviations: float
) -> tuple[float, Bounds]:
    """As `mix_drift`, of groups of items with about as many events each, by how popular some of the days found them.

    item_counts: (num_items, NUM_WINDOWS). item_first: (num_items,), the window of each item's first event. Items that
    were unknown before a day are left out of it: they have a rule of their own. The groups come from every other day
    before, and their shares from the rest: on the days that made the groups, those of rare items look too rare.
    """
    known = item_counts * (item_first[:, None] > np.arange(item_counts.shape[1]))
    figure, chance = _popularity_index(known, 0, days[1::2], days[::2], deviations)
    if weekdays := same_weekday(days):
        others = [day for day in days if day not in weekdays]
        figure = min(figure, _popularity_index(known, 0, others, weekdays, deviations)[0])
    earlier = [
        _popularity_index(known, day, before[1::2], before[::2], deviations)[0] for day, before in _earlier(days)
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


def _earlier(days: Sequence[int]) -> list[tuple[int, Sequence[int]]]:
    """Each earlier day and the days before it, where these are enough."""
    return [(day, days[place + 1 :]) for place, day in enumerate(days) if len(days) - place > MIN_BEFORE]


def _mix_index(of_windows: Counts, day: int, before: Sequence[int], deviations: float) -> tuple[float, float]:
    """PSI of one day, and that of chance."""
    now, then = of_windows[:, day], of_windows[:, list(before)].sum(axis=1)
    return stability_index(now, then), by_chance(now, then, deviations)


def _popularity_index(
    known: npt.NDArray[np.int32], day: int, grouping: Sequence[int], before: Sequence[int], deviations: float
) -> tuple[float, float]:
    """PSI of one day, and that of chance; 0 where nothing can be said. known: events on items known before the day."""
    present, past, by = (known[:, list(each)].sum(axis=1, dtype=np.int64) for each in ([day], before, grouping))
    if not (present.any() and past.any() and by.any()):
        return 0.0, 0.0
    used, groups = np.unique(popularity_groups(by), return_inverse=True)
    now, then = (np.bincount(groups, weights, len(used)).astype(np.int64) for weights in (present, past))
    return stability_index(now, then), by_chance(now, then, deviations)


def _bounds(earlier: Figures, chance: float, most: float, deviations: float) -> Bounds:
    usual = float(np.median(earlier)) if len(earlier) else 0.0
    return Bounds(usual, None, max(most, chance, usual + deviations * spread_of(earlier)))
