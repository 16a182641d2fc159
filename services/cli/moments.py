"""Times as people write them on a command line."""

import re
from datetime import datetime, timedelta
from typing import Final

from services.domain.errors import InvalidRequest

_AGE: Final = re.compile(r"(\d+)([smhd])")
_UNITS: Final = {"s": "seconds", "m": "minutes", "h": "hours", "d": "days"}


def moment_of(option: str, text: str, now: datetime) -> datetime:
    """An ISO 8601 time with a zone, or an age before `now`: 90s, 10m, 2h, 7d. Raises InvalidRequest."""
    age = _AGE.fullmatch(text.strip())
    if age is not None:
        try:
            return now - timedelta(**{_UNITS[age[2]]: int(age[1])})
        except OverflowError as error:
            raise InvalidRequest(option, f"{text!r} lies before all time") from error
    return exact_moment(option, text)


def exact_moment(option: str, text: str) -> datetime:
    """An ISO 8601 time with a zone; raises InvalidRequest."""
    try:
        moment = datetime.fromisoformat(text)
    except ValueError as error:
        raise InvalidRequest(option, f"{text!r} is not ISO 8601, such as 2026-01-31T12:00:00Z") from error
    if moment.tzinfo is None:
        raise InvalidRequest(option, f"{text!r} has no zone; write {text}Z for UTC")
    return moment
