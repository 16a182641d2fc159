"""How a writer waits for a store that is down."""

import threading
from collections.abc import Callable
from typing import Final, TypeVar

import structlog

from services.domain.errors import NightjarError

log = structlog.get_logger()

T = TypeVar("T")

_FIRST_RETRY_S: Final = 0.1
_LAST_RETRY_S: Final = 5.0  # larger: slow to see that the store is back; smaller: it is asked while it starts


def until_done(action: Callable[[], T], stop: threading.Event) -> T | None:
    """Tries until it succeeds; None when told to stop. Errors that waiting cannot mend pass through."""
    wait_s = _FIRST_RETRY_S
    while True:
        try:
            return action()
        except NightjarError as error:
            if not error.retryable:
                raise
            log.warning("store_down_waiting", reason=error.reason.value, error=str(error), wait_s=wait_s)
        if stop.wait(wait_s):
            return None
        wait_s = min(wait_s * 2, _LAST_RETRY_S)
