"""The functions that the stored jobs name. They find their work here, because a stored job can hold no live object."""

from collections.abc import Callable

_night: Callable[[str], object] | None = None
_housekeeping: Callable[[str], object] | None = None


def install(night: Callable[[str], object], housekeeping: Callable[[str], object] | None = None) -> None:
    """Says what a night and a housekeeping are in this process; call before the timetable starts."""
    global _night, _housekeeping
    _night, _housekeeping = night, housekeeping


def run_night(trigger: str) -> None:
    """Runs a night; `trigger` says why: schedule or run-now."""
    if _night is None:
        raise RuntimeError("scheduler.job.install was not called in this process")
    _night(trigger)


def run_housekeeping(trigger: str) -> None:
    """Keeps the log once; `trigger` as above."""
    if _housekeeping is None:
        raise RuntimeError("scheduler.job.install was not called with a housekeeping in this process")
    _housekeeping(trigger)
