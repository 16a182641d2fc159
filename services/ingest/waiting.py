"""How a writer waits for a store that is down."""

import threading
import time
from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from services.domain.errors import NightjarError

log = structlog.get_logger()

T = TypeVar("T")

_FIRST_S: Final = 0.1
_LONGEST_S: Final = 5.0  # larger: slow to see that the store is back; smaller: it is asked while it starts


class Pauses:
    """Pauses between tries, each twice as long as the one before."""

    def __init__(self) -> None:
        self._next_s = _FIRST_S
        self._end = 0.0

    def begin(self) -> float:
        """Begins the next pause; returns its length in seconds."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, _LONGEST_S)
        self._end = time.monotonic() + pause_s
        return pause_s

    def over(self) -> bool:
        return time.monotonic() >= self._end


def until_done(action: Callable[[], T], stop: threading.Event) -> T | None:
    """Tries until it succeeds; None when told to stop. Errors that waiting cannot mend pass through."""
    pauses = Pauses()
    while True:
        try:
            return action()
        except NightjarError as error:
            if not error.retryable:
                raise
            wait_s = pauses.begin()
            log.warning("store_down_waiting", reason=error.reason.value, error=str(error), wait_s=wait_s)
        if stop.wait(wait_s):
            return None
