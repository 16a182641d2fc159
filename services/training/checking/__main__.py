"""`python -m services.training.checking [--data-version N] [--as-of TIME]`: is this version of the log fit to train on?

Holds the newest 24 hours of events against the 14 days before; the bounds are NIGHTJAR_CHECKS__*. Changes nothing. Says
how it goes as JSON lines on standard output: {"event": "progress", "num_events": 1000000}, and last {"event": "done",
"passed": false, "data_version": 12, "num_events": ..., "newest_time": ..., "findings": [{"rule": "volume", "figure":
..., "usual": ..., "low": ..., "high": ..., "passed": false, "sentence": ...}, ...]} with exit status 0, passed or not;
or {"event": "failed", "reason": ..., "message": ...} with exit status 1. Logs go to standard error. SIGTERM ends it
with status 143.
"""

import argparse
import signal
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import Any, Final

import structlog

from services import process, settings
from services.children.saying import said_to_its_end, say
from services.domain.errors import InvalidRequest

log = structlog.get_logger(__name__)

SAID_EVERY: Final = 1_000_000  # events. Larger: a large log seems to hang; smaller: more lines than anybody reads


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m services.training.checking", description=__doc__)
    parser.add_argument("--data-version", type=int, help="check exactly this version of the log; unset: the newest")
    parser.add_argument("--as-of", default="", help="check as if it were this ISO date or time, UTC; unset: now")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))
    return said_to_its_end("check", lambda: _run(arguments.data_version, arguments.as_of))


def _run(data_version: int | None, as_of: str) -> Mapping[str, Any]:
    now = _moment(as_of) if as_of else None
    if data_version is not None and data_version < 0:
        raise InvalidRequest("--data-version", f"must be 0 or more, not {data_version}")
    loaded = settings.load()
    process.begin("checking", loaded)
    from services.training.checking import wiring  # a second of imports that --help and wrong settings spare

    checked = wiring.run(loaded, data_version, now, _Progress().note)
    for finding in checked.findings:
        if not finding.passed:
            log.warning("data_check_broken", rule=finding.rule, figure=finding.figure, sentence=finding.sentence)
    log.info("data_checked", data_version=checked.data_version, passed=checked.passed)
    return checked.document()


class _Progress:
    """Passes on what is worth a line."""

    def __init__(self) -> None:
        self._said = 0

    def note(self, line: Mapping[str, Any]) -> None:
        if line["num_events"] - self._said >= SAID_EVERY:
            self._said = line["num_events"]
            say(line)


def _moment(text: str) -> datetime:
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest("--as-of", f"must be an ISO date or time such as 2026-01-31, not {text!r}") from error
    return moment if moment.tzinfo else moment.replace(tzinfo=UTC)


if __name__ == "__main__":
    sys.exit(main())
