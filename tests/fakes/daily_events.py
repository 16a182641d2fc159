"""Days of events that are all alike, as a shop's are, and what can be done to one of them."""

from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Final

import numpy as np

from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from tests.fakes.clock import START

NUM_USERS, EVENTS_EACH, NUM_ITEMS = 200, 10, 100
DAY_US: Final = 86_400_000_000
TYPES: Final = EventTypes(
    (
        EventType("view", Role.POSITIVE),
        EventType("click", Role.POSITIVE),
        EventType("rating", Role.POSITIVE, positive_from=4.0),
    )
)
Day = list[Interaction]
Change = Callable[[Day, np.random.Generator], Day]


def microseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1_000_000)


def even_days(num_days: int, until: datetime = START, seed: int = 7) -> list[Day]:
    """The newest last; day n from the end covers the 24 hours that end n days before `until`, its last event there."""
    random, end_us = np.random.default_rng(seed), microseconds(until)
    return [_day(end_us - back * DAY_US, random) for back in reversed(range(num_days))]


def _day(end_us: int, random: np.random.Generator) -> Day:
    num = NUM_USERS * EVENTS_EACH
    times_us = end_us - np.sort(random.choice(DAY_US, num, replace=False))[::-1]
    times_us[-1] = end_us
    items = (NUM_ITEMS * random.random(num) ** 3).astype(int)
    types = random.permutation(np.repeat(["view", "click", "rating"], [num * 7 // 10, num // 5, num // 10]))
    return [
        Interaction(
            EventId(f"{time_us}-{number}"),
            UserId(f"user-{number % NUM_USERS}"),
            ItemId(f"item-{item}"),
            kind,
            time_us,
            4.0 if kind == "rating" else None,
        )
        for number, (time_us, item, kind) in enumerate(
            zip(times_us.tolist(), items.tolist(), types.tolist(), strict=True)
        )
    ]


def all_of(days: Sequence[Day]) -> Day:
    return [event for day in days for event in day]


def chosen(day: Day, share: float, random: np.random.Generator) -> list[bool]:
    """So many of the day's events, exactly; never the last one, which says when the day ends."""
    num = round(share * (len(day) - 1))
    return [*random.permutation(np.arange(len(day) - 1) < num).tolist(), False]


def lost(share: float) -> Change:
    def change(day: Day, random: np.random.Generator) -> Day:
        return [event for event, gone in zip(day, chosen(day, share, random), strict=True) if not gone]

    return change


def altered(share: float, alter: Callable[[Interaction, int], Interaction], kind: str | None = None) -> Change:
    """alter: of an event of that kind, None: any, and its number within the day."""

    def change(day: Day, random: np.random.Generator) -> Day:
        picked = chosen(day, share, random)
        return [
            alter(event, number) if picked[number] and kind in (None, event.event_type) else event
            for number, event in enumerate(day)
        ]

    return change


def added(share: float, alter: Callable[[Interaction, int], Interaction]) -> Change:
    """Beside so many of the day's events another one, made of it."""

    def change(day: Day, random: np.random.Generator) -> Day:
        picked = chosen(day, share, random)
        return [*day, *(alter(event, number) for number, event in enumerate(day) if picked[number])]

    return change
