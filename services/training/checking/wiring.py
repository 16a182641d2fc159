"""Puts a check together: settings in, what was found out."""

from datetime import datetime

from services.adapters.delta_log import DeltaEventLog
from services.domain.clock import SystemClock
from services.domain.errors import NotEnoughData
from services.settings import Settings
from services.training.checking.check import Checked, Report, check


def run(settings: Settings, data_version: int | None, as_of: datetime | None, report: Report) -> Checked:
    """Checks a version of the log, None: the newest, as of a moment, None: now; raises what `check` does."""
    log = DeltaEventLog(settings.log_folder)
    version = log.version() if data_version is None else data_version
    if version < 0:
        raise NotEnoughData("There is no event log yet, so there is nothing to check; send events first.")
    now = SystemClock().now() if as_of is None else as_of
    return check(log, version, now, settings.declared_event_types(), settings.checks, report)
