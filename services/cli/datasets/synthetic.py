"""Synthetic users with planted tastes: what comes next depends on what was just consumed, as in real sequences.

Items belong to genres, popular ones far more so than others (Zipf). A user has a few favourite genres and mostly walks
along paths: each item has a handful of successors of its genre. So the last items say much more about the next one
than popularity does, which is what a sequence model must find; no item comes twice for one user.
"""

from datetime import datetime, timedelta
from typing import Final

import numpy as np
import numpy.typing as npt

from services.cli.datasets.dataset import Dataset, microseconds
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.items import Item

NAME: Final = "synthetic"
GENRES: Final = ("Dusk", "Harbour", "Meadow", "Granite", "Lantern", "Thicket", "Tundra", "Delta")
NUM_SUCCESSORS: Final = 5  # larger: the next item is harder to guess; smaller: users of one genre become copies
FOLLOW: Final = 0.7  # chance of stepping to a successor; smaller: popularity catches up
EXPLORE: Final = 0.1  # chance of an item of any genre
ZIPF: Final = 0.8  # exponent of popularity; larger: a few items take it all
MAX_FILLED: Final = 0.5  # share of the catalogue a user may have seen on average; above it, nothing new is left

Rows = npt.NDArray[np.int64]


def synthetic(
    num_users: int = 1_000,
    num_items: int = 800,
    num_events: int = 40_000,
    seed: int = 42,
    *,
    now: datetime,
    span: timedelta = timedelta(days=30),
) -> Dataset:
    """num_events events of num_users users over the `span` before `now`; the same arguments give the same data.

    Walked steps are `play`, explored ones `view`, and every tenth play is a `like`. Raises ValueError when the users
    would run out of items they have not seen.
    """
    problem = size_problem(num_users, num_items, num_events)
    if problem is not None:
        raise ValueError(f"num_events {problem}")
    random = np.random.default_rng(seed)
    world = _World(random, num_items)
    active = _activity(random, num_users, num_items, num_events)
    walks = [world.walk(random, int(count)) for count in active]
    user_rows = np.repeat(np.arange(num_users), active)
    item_rows = np.concatenate([items for items, _ in walks])
    event_types = np.concatenate([types for _, types in walks])
    # Each user's events keep their order: the sorted times of all events are dealt out, then sorted within a user.
    times_us = _times(random, num_events, now, span)
    times_us = times_us[np.lexsort((times_us, user_rows))]
    order = np.argsort(times_us, kind="stable")
    run = f"{NAME}-{seed}-{num_users}x{num_items}x{num_events}"
    events = [
        Interaction(
            event_id=EventId(f"{run}-{place:07d}"),
            user_id=UserId(f"user-{user_rows[row]:05d}"),
            item_id=world.item_ids[item_rows[row]],
            event_type=str(event_types[row]),
            event_time_us=int(times_us[row]),
        )
        for place, row in enumerate(order)
    ]
    return Dataset(NAME, events, world.items(now))


def size_problem(num_users: int, num_items: int, num_events: int) -> str | None:
    """Says what is wrong with num_events for such users and items, or None when there is such a data set."""
    max_events = int(num_users * num_items * MAX_FILLED)
    if num_events < 1:
        return f"is {num_events}; at least 1 is needed"
    if num_events > max_events:
        return (
            f"is {num_events}, too many for {num_users} users and {num_items} items: nobody sees an item twice, and "
            f"at most {MAX_FILLED:.0%} of all pairs, {max_events}, can occur"
        )
    return None


class _World:
    """The catalogue with what is planted in it: a genre, a popularity and successors for each item."""

    def __init__(self, random: np.random.Generator, num_items: int) -> None:
        self.num_items = num_items
        self.item_ids = [ItemId(f"item-{row:05d}") for row in range(num_items)]
        self.genre_of = random.permutation(num_items) % min(len(GENRES), num_items)
        weights = 1.0 / np.arange(1, num_items + 1) ** ZIPF
        self.popularity = random.permutation(weights / weights.sum())
        self.members = [np.flatnonzero(self.genre_of == genre) for genre in range(self.genre_of.max() + 1)]
        shares = [self.popularity[rows] / self.popularity[rows].sum() for rows in self.members]
        self.successors = [
            random.choice(self.members[genre], size=NUM_SUCCESSORS, p=shares[genre]) for genre in self.genre_of
        ]

    def walk(self, random: np.random.Generator, num_steps: int) -> tuple[Rows, npt.NDArray[np.str_]]:
        """One user's item rows in order, no row twice, and the type of each event."""
        favourites = random.choice(len(self.members), size=min(2, len(self.members)), replace=False)
        seen = np.zeros(self.num_items, dtype=bool)
        items = np.empty(num_steps, dtype=np.int64)
        types = np.empty(num_steps, dtype="<U8")
        for step in range(num_steps):
            followed = [row for row in self.successors[items[step - 1]] if not seen[row]] if step else []
            chance = random.random()
            if chance < FOLLOW and followed:
                items[step] = random.choice(followed)
            elif chance < 1 - EXPLORE:
                items[step] = self._draw(random, self.members[random.choice(favourites)], seen)
            else:
                items[step] = self._draw(random, np.arange(self.num_items), seen)
            types[step] = "view" if chance >= 1 - EXPLORE else "like" if random.random() < 0.1 else "play"
            seen[items[step]] = True
        return items, types

    def _draw(self, random: np.random.Generator, rows: Rows, seen: npt.NDArray[np.bool_]) -> int:
        """A row not seen yet, by popularity; from the whole catalogue when none of `rows` is left."""
        rows = rows[~seen[rows]]
        if rows.size == 0:
            rows = np.flatnonzero(~seen)
        weights = self.popularity[rows]
        return int(random.choice(rows, p=weights / weights.sum()))

    def items(self, now: datetime) -> list[Item]:
        return [
            Item(
                item_id=item_id,
                title=f"{GENRES[genre]} No. {row}",
                categories=(GENRES[genre],),
                update_time_us=microseconds(now),
            )
            for row, (item_id, genre) in enumerate(zip(self.item_ids, self.genre_of, strict=True))
        ]


def _activity(random: np.random.Generator, num_users: int, num_items: int, num_events: int) -> Rows:
    """Events of each user: long-tailed, at least one where there are enough, never more than there are items."""
    weights = random.lognormal(sigma=0.7, size=num_users)
    counts = np.minimum(1 + np.floor(weights / weights.sum() * max(0, num_events - num_users)), num_items).astype(int)
    while (missing := num_events - int(counts.sum())) != 0:
        step = 1 if missing > 0 else -1
        free = np.flatnonzero(counts < num_items if step > 0 else counts > 0)
        counts[random.permutation(free)[: abs(missing)]] += step
    return np.asarray(counts, dtype=np.int64)


def _times(random: np.random.Generator, num_events: int, now: datetime, span: timedelta) -> Rows:
    """Microseconds since the epoch, all different, in no order; the latest is `now`."""
    span_us = span // timedelta(microseconds=1)
    offsets = np.unique(random.integers(0, span_us, size=num_events))
    while offsets.size < num_events:
        offsets = np.unique(np.append(offsets, random.integers(0, span_us, size=num_events - offsets.size)))
    offsets[0] = 0
    return np.asarray(microseconds(now) - random.permutation(offsets), dtype=np.int64)
