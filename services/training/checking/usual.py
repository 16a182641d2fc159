"""What is usual for a figure, and how far from it is too far: by medians, which one bad day does not move.

The spread of the days before is their median absolute deviation, times 1.4826 for a normal distribution's standard
deviation (Rousseeuw and Croux, JASA 1993), and never less than chance makes of so few events. Beside the days before
stands the same weekday, since a weekend is no fault: bounds hold both.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.training.checking.windows import same_weekday

Figures = npt.NDArray[np.float64]

_NORMAL: Final = 1.4826


@dataclass(frozen=True, slots=True)
class Bounds:
    """Both ends included; an end that is None does not bind, and without days before nothing is usual."""

    usual: float | None
    low: float | None
    high: float | None

    def hold(self, figure: float) -> bool:
        return (self.low is None or figure >= self.low) and (self.high is None or figure <= self.high)


def count_bounds(before: Figures, *, min_share: float, max_share: float, deviations: float) -> Bounds:
    """Of a number of events or users. before: (n,), n > 0, of the days before, the newest first; a share of 0: off."""
    ranges = []
    for usual, spread in _references(before):
        give = deviations * max(spread, np.sqrt(usual + 1))  # a count varies by its square root, by chance alone
        ranges.append((max(min(min_share * usual, usual - give), 0.0), max(max_share * usual, usual + give)))
    low = min(low for low, _ in ranges) if min_share else None
    high = max(high for _, high in ranges) if max_share else None
    return Bounds(float(np.median(before)), low, high)


def share_bounds(before: Figures, num_events: int, *, margin: float, deviations: float) -> Bounds:
    """Of a share of events that should not grow. before: as above; num_events: of which tonight's is a share.

    margin: how much of the rest, 1 less the usual share, may turn; so a share that is usually high has bounds too.
    """
    highs = []
    for usual, spread in _references(before):
        smoothed = (usual * num_events + 1) / (num_events + 2)
        chance = np.sqrt(smoothed * (1 - smoothed) / max(num_events, 1))
        highs.append(max(usual + margin * (1 - usual), usual + deviations * max(spread, chance)))
    return Bounds(float(np.median(before)), None, min(float(max(highs)), 1.0))


def spread_of(figures: Figures) -> float:
    """Robust standard deviation of (n,) figures; 0 for none."""
    return float(_NORMAL * np.median(np.abs(figures - np.median(figures)))) if len(figures) else 0.0


def _references(before: Figures) -> list[tuple[float, float]]:
    """What is usual and its spread: of all days before, and of the same weekday, whose few days vary as all do."""
    usual, spread = float(np.median(before)), spread_of(before)
    weekday = before[[number - 1 for number in same_weekday(len(before))]]
    if not len(weekday):
        return [(usual, spread)]
    of_weekday = float(np.median(weekday))
    relative = spread / usual * of_weekday if usual else 0.0
    return [(usual, spread), (of_weekday, max(spread_of(weekday), relative))]
