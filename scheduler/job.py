"""The function that the stored jobs name. It finds its night here, because a stored job can hold no live object."""

from collections.abc import Callable

_night: Callable[[str], None] | None = None


def install(night: Callable[[str], None]) -> None:
    """Says what a night is in this process; call before the timetable starts."""
    global _night
    _night = night


def run_night(trigger: str) -> None:
    """Runs a night; `trigger` says why: schedule or run-now."""
    if _night is None:
        raise RuntimeError("scheduler.job.install was not called in this process")
    _night(trigger)
