"""Patience with a database that is away: hours of training are not given up for a restart that takes a minute."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from typing import Final, TypeVar

import structlog

from services.domain.errors import CatalogDown
from services.domain.ports import Clock

FIRST_PAUSE_S: Final = 1.0  # larger: slow after a hiccup; smaller: a burst of log lines
LONGEST_PAUSE_S: Final = 20.0  # larger: slow to see that it is back; smaller: load while it starts
GIVE_UP: Final = timedelta(minutes=15)  # larger: a dead database is said late; smaller: a failover loses the night

T = TypeVar("T")

log = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Patience:
    """Does a step again while it raises CatalogDown; the step must be safe to repeat.

    `pause` waits for that many seconds, or until the process is asked to stop, and returns True then.
    """

    clock: Clock
    pause: Callable[[float], bool]

    def outlast(self, step: Callable[[], T]) -> T:
        """What the step returned; its CatalogDown once GIVE_UP has passed, or when asked to stop meanwhile."""
        give_up_time = self.clock.now() + GIVE_UP
        pause_s = FIRST_PAUSE_S
        while True:
            try:
                return step()
            except CatalogDown as error:
                if self.clock.now() >= give_up_time:
                    raise
                log.warning("catalog_down", next_try_s=pause_s, why=str(error))
                if self.pause(pause_s):
                    raise
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)
