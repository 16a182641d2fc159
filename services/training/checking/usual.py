"""What is usual for a figure, and how far from it is too far: by medians, which one bad day does not move.

The spread of the days before is their median absolute deviation, times 1.4826 for a normal distribution's standard
deviation (Rousseeuw and Croux, JASA 1993), and never less than chance makes of so few events. Beside the days before
stands the same weekday, since a weekend is no fault: bounds hold both.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.training.checking.windows import same_weekday

Figures = npt.NDArray[np.float64]

_NORMAL: Final = 1.4826
# Times the spread of all days that two weekdays may differ by. Larger: one bad weekday hides the next fault of that
# weekday; smaller: weekdays that vary by themselves stop nights.
_AT_MOST: Final = 2.0


@dataclass(frozen=True, slots=True)
class Bounds:
    """Both ends included; an end that is None does not bind, and without days before nothing is usual."""

    usual: float | None
    low: float | None
    high: float | None

    def hold(self, figure: float) -> bool:
        return (self.low is None or figure >= self.low) and (self.high is None or figure <= self.high)


@dataclass(frozen=True, slots=True)
class Before:
    """A figure's values on the days before."""

    figures: Figures
    """(n,), n > 0, the newest first."""
    on_weekday: Figures
    """Those of them that are of the newest day's weekday; may be empty."""

    @classmethod
    def of(cls, of_windows: Figures, days: Sequence[int]) -> "Before":
        """of_windows: (> max(days),), by window. days: the windows to hold the newest one against."""
        return cls(of_windows[list(days)], of_windows[same_weekday(days)])

    def mapped(self, of: Callable[[Figures], Figures]) -> "Before":
        """The same of another scale."""
        return Before(of(self.figures), of(self.on_weekday))

    @property
    def usual(self) -> float:
        return float(np.median(self.figures))

    def references(self) -> list[tuple[float, float]]:
        """What is usual and its spread: of all days, and of the same weekday.

        No median of two weekdays stands a bad day. So of two the one nearer to the usual counts, and that they differ
        counts only as far as days do.
        """
        usual, spread = self.usual, spread_of(self.figures)
        nearest = min(self.on_weekday.tolist(), key=lambda figure: abs(figure - usual), default=usual)
        return [(usual, spread), (nearest, max(spread, min(spread_of(self.on_weekday), _AT_MOST * spread)))]


def count_bounds(before: Before, *, min_share: float, max_share: float, deviations: float) -> Bounds:
    """Of a number of events or users; a share of 0: off.

    Days differ by factors, so their spread is that of logarithms; by chance alone a count varies by its square root.
    """
    ranges = []
    for usual_log, spread in before.mapped(np.log1p).references():
        usual, give = float(np.expm1(usual_log)), float(np.exp(deviations * spread))
        chance = deviations * np.sqrt(usual + 1)
        ranges.append(
            (min(min_share * usual, usual / give, usual - chance), max(max_share * usual, usual * give, usual + chance))
        )
    low = max(float(min(low for low, _ in ranges)), 0.0) if min_share else None
    high = float(max(high for _, high in ranges)) if max_share else None
    return Bounds(before.usual, low, high)


def share_bounds(before: Before, num_events: int, *, margin: float, deviations: float) -> Bounds:
    """Of a share of events that should not grow. num_events: those that tonight's is a share of.

    margin: how much of the rest, 1 less the usual share, may turn; so a share that is usually high has bounds too.
    """
    highs = []
    for usual, spread in before.references():
        smoothed = (usual * num_events + 1) / (num_events + 2)
        chance = np.sqrt(smoothed * (1 - smoothed) / max(num_events, 1))
        highs.append(max(usual + margin * (1 - usual), usual + deviations * max(spread, chance)))
    return Bounds(before.usual, None, min(float(max(highs)), 1.0))


def spread_of(figures: Figures) -> float:
    """Robust standard deviation of (n,) figures; 0 for none."""
    return float(_NORMAL * np.median(np.abs(figures - np.median(figures)))) if len(figures) else 0.0
