"""The rules about numbers and shares of events: the newest day's against those of the days before."""

from collections.abc import Collection, Iterator, Sequence

import numpy as np

from services.settings.checks import CheckSettings
from services.training.checking.finding import OFF, DataFinding, too_young
from services.training.checking.tally import Counted, Counts
from services.training.checking.usual import Before, Figures, count_bounds, share_bounds


class Comparison:
    """days: windows before the newest one to hold it against, the newest first."""

    def __init__(self, counted: Counted, days: Sequence[int], settings: CheckSettings) -> None:
        self._counted, self._days, self._settings = counted, days, settings

    def findings(self, declared: Collection[str]) -> Iterator[DataFinding]:
        """declared: types whose volumes are judged, where they are usual: a new one has none to be held against."""
        yield from self._counts(declared)
        yield from self._shares()

    def _counts(self, declared: Collection[str]) -> Iterator[DataFinding]:
        yield self._count("volume", self._counted.num_events[:-1], "events")
        for name, of_type in self._counted.of_types.items():
            if name in declared and self._days and self._before(of_type).usual > 0:
                yield self._count(f"volume:{name}", of_type, f"events of type {name!r}")
        yield self._count("users", self._counted.num_users, "different users")

    def _shares(self) -> Iterator[DataFinding]:
        counted, settings = self._counted, self._settings
        num_events = counted.num_events[:-1]
        yield self._share(
            "unknown_items",
            _on_unknown_items(counted),
            num_events,
            settings.unknown_items_margin,
            "of the events are on items never seen before that day",
            "look whether item ids changed, in the producers or the catalog; if the items are new, raise "
            "NIGHTJAR_CHECKS__UNKNOWN_ITEMS_MARGIN for this night",
        )
        yield self._share(
            "missing_values",
            counted.num_without_value,
            counted.num_wanting,
            settings.missing_values_margin,
            "of the events that need a value have none",
            "find the producer that leaves `value` out, and have it send its events again under new ids",
        )
        yield self._share(
            "missing_ids",
            counted.num_without_ids,
            num_events,
            settings.missing_ids_margin,
            "of the events lack user, item or type",
            "find who writes into the log beside the writers, and delete those events",
        )
        yield self._share(
            "duplicates",
            counted.num_keys - counted.num_different_keys,
            counted.num_keys,
            settings.duplicates_margin,
            "of the events repeat another's user, item, type and time",
            "find the producer that gives one event several ids; sent again, it must keep its id",
        )

    def _count(self, rule: str, counts: Counts, what: str) -> DataFinding:
        figure, settings = float(counts[0]), self._settings
        if len(self._days) < settings.min_history_days:
            return too_young(rule, figure, len(self._days), settings.min_history_days)
        if not settings.min_volume_share and not settings.max_volume_share:
            return DataFinding.unjudged(rule, figure, OFF)
        within = count_bounds(
            self._before(counts),
            min_share=settings.min_volume_share,
            max_share=settings.max_volume_share,
            deviations=settings.deviations,
        )
        said = f"{figure:,.0f} {what} in the newest 24 hours, where {within.usual:,.0f} are usual"
        if within.low is not None and figure < within.low:
            cure = (
                f"at least {within.low:,.0f} are expected: see with `nightjar ingest status` and `nightjar dlq list` "
                f"where they are; if the day was that quiet, lower NIGHTJAR_CHECKS__MIN_VOLUME_SHARE for this night"
            )
        else:
            cure = (
                f"at most {within.high or 0:,.0f} are expected: look whether a producer sends its events again; if the "
                f"day was that busy, raise NIGHTJAR_CHECKS__MAX_VOLUME_SHARE for this night"
            )
        return DataFinding.judged(rule, figure, within, f"{said}.", f"{said}; {cure}.")

    def _share(self, rule: str, part: Counts, whole: Counts, margin: float, what: str, cure: str) -> DataFinding:
        shares, settings = part / np.maximum(whole, 1), self._settings
        figure = float(shares[0])
        if len(self._days) < settings.min_history_days:
            return too_young(rule, figure, len(self._days), settings.min_history_days)
        if not margin:
            return DataFinding.unjudged(rule, figure, OFF)
        if not whole[0]:
            return DataFinding.unjudged(rule, figure, "Not judged: the newest 24 hours have no event that it is about.")
        within = share_bounds(self._before(shares), int(whole[0]), margin=margin, deviations=settings.deviations)
        said = f"{figure:.1%} {what}, where {within.usual:.1%} is usual"
        ill = f"{said} and at most {within.high or 0:.1%} is expected: {cure}."
        return DataFinding.judged(rule, figure, within, f"{said}.", ill)

    def _before(self, of_windows: Counts | Figures) -> Before:
        return Before.of(of_windows.astype(np.float64), self._days)


def _on_unknown_items(counted: Counted) -> Counts:
    """Events of each window on items whose first event is in it."""
    counts, first = counted.item_counts, counted.item_first
    return np.array([counts[first == window, window].sum() for window in range(counts.shape[1])], np.int64)
