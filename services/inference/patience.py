"""How long a caller waits: what has to be done within it, and what is done without when half of it is gone."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AbstractAsyncContextManager, nullcontext
from typing import Any, Final

from services.domain.errors import OutOfTime

LONGEST_S: Final = 3_600.0
"""A deadline further away is none."""
STORES_GIVE_UP_S: Final = 1.0
"""By themselves within it, so that watching them for longer is for nothing."""
_FOR_GOOD: Final = nullcontext()


class Patience:
    """From now on. seconds: until nobody waits any more; None: they wait for good. timer: seconds, never set back."""

    def __init__(self, seconds: float | None, timer: Callable[[], float] = time.monotonic) -> None:
        self._timer = timer
        self._is_endless = seconds is None or seconds > LONGEST_S
        now = 0.0 if self._is_endless else timer()
        self._half_s = now + (seconds or 0.0) / 2
        self._end_s = now + (seconds or 0.0)

    @property
    def is_half_gone(self) -> bool:
        """Whether there is no time left for what takes long."""
        return not self._is_endless and self._timer() >= self._half_s

    def check(self) -> None:
        """Raises OutOfTime when nobody waits any more."""
        if not self._is_endless and self._timer() >= self._end_s:
            raise OutOfTime("The deadline passed before there was an answer; allow more time, or ask again later.")

    def half(self) -> AbstractAsyncContextManager[Any]:
        """Within it, whatever waits when half of the time is gone gets a TimeoutError."""
        if self._is_endless:
            return _FOR_GOOD
        left_s = self._half_s - self._timer()
        return _FOR_GOOD if left_s > STORES_GIVE_UP_S else asyncio.timeout(left_s)


ENDLESS: Final = Patience(None)
