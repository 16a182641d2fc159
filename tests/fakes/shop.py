"""A shop whose fashions change: each day is like the one before it but for a few items that moved."""

from typing import Final

import numpy as np

from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction

DAY_US: Final = 86_400_000_000
FIRST_DAY_US: Final = 1_772_841_600_000_000  # 2026-03-07, so that a month of it has a change of the clocks
NUM_USERS, EVENTS_EACH = 120, 10
NUM_CORNERS, CORNER_SIZE = 10, 6
MOVES_A_DAY = 0.3
STAYS = 0.97


class Shop:
    """Days one after the other. Each user walks through corners, and mostly stays in one.

    All items are about equally popular, so popularity knows nothing. Every day a new item takes an old one's
    place, and now and then two change corners, so that what went with what long ago no longer does.
    """

    def __init__(self, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        self._corners = [[f"item-{corner}-{place}" for place in range(CORNER_SIZE)] for corner in range(NUM_CORNERS)]
        self._where = self._random.integers(NUM_CORNERS, size=NUM_USERS)
        self._day = 0

    def day(self) -> list[Interaction]:
        """The next day's events in order of time."""
        self._change_fashion()
        start_us = FIRST_DAY_US + self._day * DAY_US
        num = NUM_USERS * EVENTS_EACH
        times_us = start_us + np.sort(self._random.choice(DAY_US - 1, num, replace=False))
        events = [self._event(number, int(time_us)) for number, time_us in enumerate(times_us)]
        self._day += 1
        return events

    def _event(self, number: int, time_us: int) -> Interaction:
        user = int(self._random.integers(NUM_USERS))
        if self._random.random() > STAYS:
            self._where[user] = self._random.integers(NUM_CORNERS)
        item = self._corners[self._where[user]][self._random.integers(CORNER_SIZE)]
        return Interaction(EventId(f"{self._day}-{number}"), UserId(f"user-{user}"), ItemId(item), "view", time_us)

    def _change_fashion(self) -> None:
        if self._random.random() < MOVES_A_DAY:
            one, other = self._random.choice(NUM_CORNERS, 2, replace=False)
            place = self._random.integers(CORNER_SIZE)
            self._corners[one][place], self._corners[other][place] = (
                self._corners[other][place],
                self._corners[one][place],
            )
        corner, place = self._random.integers(NUM_CORNERS), self._random.integers(CORNER_SIZE)
        self._corners[corner][place] = f"item-{corner}-{place}-{self._day}"
