"""Five-field cron expressions as APScheduler triggers, weekdays counted as cron does: 0 and 7 are Sunday."""

import re
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_NUMERIC: Final = re.compile(r"(?:(?P<first>[0-7])(?:-(?P<last>[0-7]))?|\*)(?:/(?P<step>\d+))?")


def night_trigger(expression: str, time_zone: str) -> CronTrigger:
    """The trigger; raises ValueError for what is no cron expression.

    APScheduler 3 counts weekdays from Monday, so that "0" would be a day late; names mean the same to both.
    Where the zone's clock jumps, a time that is skipped fires an hour later, and one that comes twice fires twice.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(f"{expression!r} has {len(fields)} fields; a cron expression has five")
    minute, hour, day, month, weekdays = fields
    named = ",".join(_named(part) for part in weekdays.split(","))
    return CronTrigger.from_crontab(f"{minute} {hour} {day} {month} {named}", timezone=ZoneInfo(time_zone))


def _named(part: str) -> str:
    found = _NUMERIC.fullmatch(part)
    if found is None or part == "*":
        return part
    step = int(found["step"] or 1)
    first = int(found["first"] or 0)
    last = int(found["last"] or (first if found["first"] and not found["step"] else 6))
    return ",".join(WEEKDAYS[day] for day in range(first, last + 1, max(step, 1)))
