"""A shop whose fashions change: each day is like the one before it but for what follows what in one of its corners."""

from collections.abc import Iterator
from typing import Final

import numpy as np

from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction

DAY_US: Final = 86_400_000_000
FIRST_DAY_US: Final = 1_772_841_600_000_000  # 2026-03-07, so that a month of it has a change of the clocks
NUM_USERS, EVENTS_EACH = 120, 10
NUM_CORNERS, CORNER_SIZE = 10, 6


class Shop:
    """Days one after the other. Each user walks through corners; the next item follows from the last one, mostly.

    All items are about equally popular, so popularity can know nothing. Every day two corners get a new order, and one
    item in twenty days a new name, so that a model of long ago knows less and less.
    """

    def __init__(self, seed: int = 7) -> None:
        self._random = np.random.default_rng(seed)
        self._orders = [self._random.permutation(CORNER_SIZE) for _ in range(NUM_CORNERS)]
        self._names = [[f"item-{corner}-{place}" for place in range(CORNER_SIZE)] for corner in range(NUM_CORNERS)]
        self._corners = self._random.integers(NUM_CORNERS, size=NUM_USERS)
        self._places = self._random.integers(CORNER_SIZE, size=NUM_USERS)
        self._day = 0

    def days(self, num_days: int) -> Iterator[list[Interaction]]:
        for _ in range(num_days):
            yield self.day()

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
        if self._random.random() < 0.1:
            self._corners[user] = self._random.integers(NUM_CORNERS)
        self._places[user] = (self._places[user] + 1) % CORNER_SIZE
        corner = self._corners[user]
        item = self._names[corner][self._orders[corner][self._places[user]]]
        return Interaction(EventId(f"{self._day}-{number}"), UserId(f"user-{user}"), ItemId(item), "view", time_us)

    def _change_fashion(self) -> None:
        for corner in self._random.choice(NUM_CORNERS, 2, replace=False):
            self._orders[corner] = self._random.permutation(CORNER_SIZE)
        if self._random.random() < 0.5:
            corner, place = self._random.integers(NUM_CORNERS), self._random.integers(CORNER_SIZE)
            self._names[corner][place] = f"item-{corner}-{place}-{self._day}"
