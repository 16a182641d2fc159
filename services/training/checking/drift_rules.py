"""The rules about how events are spread over event types and over known items."""

from collections.abc import Callable, Sequence

import numpy as np

from services.settings.checks import CheckSettings
from services.training.checking.drift import mix_drift, popularity_drift
from services.training.checking.finding import OFF, DataFinding, too_young
from services.training.checking.tally import Counted, Counts
from services.training.checking.usual import Bounds


def type_finding(counted: Counted, days: Sequence[int], settings: CheckSettings) -> DataFinding:
    names, most = list(counted.of_types), settings.max_type_drift
    of_windows = np.array(list(counted.of_types.values()))
    return _finding(
        "type_drift",
        days,
        settings,
        most,
        lambda: mix_drift(of_windows, days, most=most, deviations=settings.deviations),
        "The mix of event types",
        lambda: (
            f"{_moved(names, of_windows, days)}: look which producer changed; if it is meant, raise "
            f"NIGHTJAR_CHECKS__MAX_TYPE_DRIFT for this night"
        ),
    )


def popularity_finding(counted: Counted, days: Sequence[int], settings: CheckSettings) -> DataFinding:
    counts, first, most = counted.item_counts, counted.item_first, settings.max_popularity_drift
    return _finding(
        "popularity_drift",
        days,
        settings,
        most,
        lambda: popularity_drift(counts, first, days, most=most, deviations=settings.deviations),
        "The popularity of known items",
        lambda: (
            "look whether item ids were mixed up, or users are shown other items than before; if it is meant, raise "
            "NIGHTJAR_CHECKS__MAX_POPULARITY_DRIFT for this night"
        ),
    )


def _finding(
    rule: str,
    days: Sequence[int],
    settings: CheckSettings,
    most: float,
    measure: Callable[[], tuple[float, Bounds]],
    what: str,
    cure: Callable[[], str],
) -> DataFinding:
    if len(days) < settings.min_history_days:
        return too_young(rule, 0.0, len(days), settings.min_history_days)
    if not most:
        return DataFinding.unjudged(rule, 0.0, OFF)
    figure, within = measure()
    said = f"{what} is {figure:.3f} from that of the days before (population stability index)"
    ill = "" if within.hold(figure) else f"{said}, and {within.high or 0:.3f} is allowed; {cure()}."
    return DataFinding.judged(rule, figure, within, f"{said}.", ill)


def _moved(names: list[str], of_windows: Counts, days: Sequence[int]) -> str:
    """The type whose share moved most. of_windows: (num_types, NUM_WINDOWS)."""
    before = of_windows[:, list(days)].sum(axis=1)
    now, then = of_windows[:, 0] / max(of_windows[:, 0].sum(), 1), before / max(before.sum(), 1)
    most = int(np.argmax(np.abs(now - then)))
    return f"above all {names[most]!r}, {now[most]:.1%} of the events where {then[most]:.1%} is usual"
