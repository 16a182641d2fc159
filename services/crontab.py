"""Five-field cron expressions as APScheduler triggers, weekdays counted as cron does: 0 and 7 are Sunday.

The one reading of them: the settings refuse at the start what the scheduler could not plan.
"""

import re
from datetime import UTC, datetime
from typing import Final
from zoneinfo import ZoneInfo

from apscheduler.triggers.cron import CronTrigger

WEEKDAYS: Final = ("sun", "mon", "tue", "wed", "thu", "fri", "sat", "sun")
_DAY: Final = rf"[0-7]|{'|'.join(WEEKDAYS[:7])}"
_PART: Final = re.compile(rf"(?:(?P<first>{_DAY})(?:-(?P<last>{_DAY}))?|\*)(?:/(?P<step>\d+))?", re.IGNORECASE)


def night_trigger(expression: str, time_zone: str) -> CronTrigger:
    """The trigger; raises ValueError, with a sentence, for what is no cron expression or never comes.

    APScheduler 3 counts weekdays from Monday, so that "0" would be a day late; names mean the same to both.
    Where the zone's clock jumps, a time that is skipped fires an hour later, and one that comes twice fires twice.
    With a day of the month and a weekday both must hold, where cron asks for one of them.
    """
    fields = expression.split()
    if len(fields) != 5:
        raise ValueError(f"{expression!r} has {len(fields)} fields; a cron expression has five, such as '0 2 * * *'")
    minute, hour, day, month, weekdays = fields
    try:
        named = ",".join(_named(part) for part in weekdays.split(","))
        trigger = CronTrigger.from_crontab(f"{minute} {hour} {day} {month} {named}", timezone=ZoneInfo(time_zone))
    except ValueError as error:
        raise ValueError(f"{expression!r} is no cron expression: {error}") from error
    if trigger.get_next_fire_time(None, datetime.now(UTC)) is None:
        raise ValueError(f"{expression!r} never comes")
    return trigger


def _named(part: str) -> str:
    """One part of the weekday field with every day named: "5-7" becomes "fri,sat,sun"."""
    if part == "*":
        return part
    found = _PART.fullmatch(part)
    if found is None:
        raise ValueError(f"{part!r} is no weekday; they are 0 to 7 or sun to sat")
    step = int(found["step"] or 1)
    first = _number(found["first"] or "0")
    last = _number(found["last"]) if found["last"] else first if found["first"] and not found["step"] else 6
    if last == 0 < first:  # "fri-sun"
        last = 7
    if step == 0 or last < first:
        raise ValueError(f"{part!r} names no weekday")
    return ",".join(WEEKDAYS[day] for day in range(first, last + 1, step))


def _number(day: str) -> int:
    return int(day) if day.isdecimal() else WEEKDAYS.index(day.lower())
