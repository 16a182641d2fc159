"""The check of a version of the log: one look for its newest event, then one pass over all events."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from services.domain.errors import NotEnoughData
from services.domain.event_types import EventTypes
from services.domain.ports import EventLog
from services.settings.checks import CheckSettings
from services.training.checking.finding import DataFinding
from services.training.checking.rules import findings
from services.training.checking.tally import Tally

Report = Callable[[Mapping[str, Any]], object]

HOUR_US: Final = 3_600_000_000


@dataclass(frozen=True, slots=True)
class Checked:
    """What became of a check. num_events: of the whole log."""

    data_version: int
    num_events: int
    newest_time: datetime
    """Of the events that are not from the future; the newest day ends here."""
    findings: tuple[DataFinding, ...]

    @property
    def passed(self) -> bool:
        return all(finding.passed for finding in self.findings)

    def document(self) -> dict[str, Any]:
        return {
            "passed": self.passed,
            "data_version": self.data_version,
            "num_events": self.num_events,
            "newest_time": self.newest_time.isoformat(),
            "findings": [finding.document() for finding in self.findings],
        }


def check(
    log: EventLog, data_version: int, now: datetime, event_types: EventTypes, settings: CheckSettings, report: Report
) -> Checked:
    """Checks a pinned version as of `now`; blocks while it reads all of it.

    report is told how far it is, such as {"event": "progress", "num_events": 1000000}. Raises NotEnoughData for a log
    without an event before `now`, UnknownVersion, and EventLogDown.
    """
    now_us = int(now.timestamp() * 1_000_000)
    newest_us = log.newest_time_us(data_version, now_us + settings.future_tolerance_s * 1_000_000 + 1)
    if newest_us is None:
        raise NotEnoughData(
            f"Version {data_version} of the log has no event from before {now:%Y-%m-%d %H:%M} UTC to be checked; send "
            f"events, or look at the clocks."
        )
    wanting = [kind.name for kind in event_types.declared if _wants_value(kind.positive_from, kind.negative_to)]
    tally = Tally(newest_us, wanting)
    for events in log.stream(data_version):
        tally.add(events)
        report({"event": "progress", "num_events": tally.num_all})
    counted = tally.counted()
    age_h = max(now_us - newest_us, 0) / HOUR_US
    return Checked(
        data_version,
        counted.num_all,
        datetime.fromtimestamp(newest_us / 1_000_000, UTC),
        findings(counted, age_h, event_types.names(), settings),
    )


def _wants_value(positive_from: float | None, negative_to: float | None) -> bool:
    """A type that is judged by its value; of another, a value is only kept."""
    return positive_from is not None or negative_to is not None
