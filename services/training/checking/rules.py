"""The rules: what was counted, held against bounds and the days before, as findings with a sentence each."""

from collections.abc import Collection

from services.settings.checks import CheckSettings
from services.training.checking.comparisons import Comparison
from services.training.checking.drift_rules import popularity_finding, type_finding
from services.training.checking.finding import OFF, DataFinding
from services.training.checking.tally import Counted
from services.training.checking.usual import Bounds
from services.training.checking.windows import days_before


def findings(
    counted: Counted, age_h: float, declared: Collection[str], settings: CheckSettings
) -> tuple[DataFinding, ...]:
    """age_h: of the newest event, hours. declared: the event types there should be; only their volumes are judged.

    All that compare pass where the log is too young to know what is usual.
    """
    days = days_before(counted.num_events)
    return (
        freshness(age_h, settings),
        future(counted, settings),
        *Comparison(counted, days, settings).findings(declared),
        type_finding(counted, days, settings),
        popularity_finding(counted, days, settings),
    )


def freshness(age_h: float, settings: CheckSettings) -> DataFinding:
    if not settings.max_age_h:
        return DataFinding.unjudged("freshness", age_h, OFF)
    said = f"The newest event is {age_h:.1f} hours old"
    return DataFinding.judged(
        "freshness",
        age_h,
        Bounds(None, None, settings.max_age_h),
        f"{said}.",
        f"{said}, and {settings.max_age_h:g} are allowed: see with `nightjar ingest status` whether producers or the "
        f"offline writer stand still; for a log of long ago set NIGHTJAR_CHECKS__MAX_AGE_H=0.",
    )


def future(counted: Counted, settings: CheckSettings) -> DataFinding:
    """Events whose producer's clock is ahead; training would take them for the newest, and hold them out."""
    share = counted.num_future / max(counted.num_future + int(counted.num_events[0]), 1)
    if not settings.max_future_share:
        return DataFinding.unjudged("future", share, OFF)
    said = f"{counted.num_future:,} events are from the future"
    return DataFinding.judged(
        "future",
        share,
        Bounds(None, None, settings.max_future_share),
        f"{said}, and left out here." if counted.num_future else "No event is from the future.",
        f"{said}, {share:.1%} of these and the newest day's: mend the clocks of the producers and of this machine, and "
        f"have the writers refuse such events (NIGHTJAR_INGEST__MAX_FUTURE_S).",
    )
