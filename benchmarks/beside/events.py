"""Who chose what, in which order: made by a seed or taken from a folder, and handed to both sides as one file.

numpy only: the other side's environment reads it, too.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt

Codes: TypeAlias = npt.NDArray[np.int32]

NUM_GROUPS: Final = 60
TASTES: Final = 3  # groups that a user likes
FOLLOWS: Final = 0.5  # share of events from the group of the event before
STRAYS: Final = 0.2  # share of events of any group


@dataclass(frozen=True)
class Events:
    """User after user, oldest first; numbers from 0, and a user names no item twice."""

    users: Codes
    items: Codes
    num_users: int
    num_items: int

    def __len__(self) -> int:
        return len(self.users)

    @property
    def starts(self) -> npt.NDArray[np.int64]:
        """(num_users + 1,)."""
        return np.searchsorted(self.users, np.arange(self.num_users + 1)).astype(np.int64)

    @property
    def places_from_end(self) -> npt.NDArray[np.int64]:
        """(num_events,): 0 for a user's last event."""
        return self.starts[self.users + 1] - 1 - np.arange(len(self))

    def chosen(self, which: npt.NDArray[np.bool_]) -> "Events":
        return Events(self.users[which], self.items[which], self.num_users, self.num_items)

    def first_users(self, num_users: int) -> "Events":
        which = self.users < num_users
        return Events(self.users[which], self.items[which], min(num_users, self.num_users), self.num_items)

    def save(self, path: Path) -> None:
        np.savez(path, users=self.users, items=self.items, sizes=np.array([self.num_users, self.num_items]))

    @classmethod
    def load(cls, path: Path) -> "Events":
        with np.load(path) as stored:
            num_users, num_items = stored["sizes"].tolist()
            return cls(stored["users"], stored["items"], num_users, num_items)


def planted(num_users: int, num_items: int, mean_length: int, shortest: int, seed: int = 1) -> Events:
    """Users like a few groups of items and stay with one for a while; lengths are log-normal, popularity a power."""
    random = np.random.default_rng(seed)
    spread = random.lognormal(0.0, 1.0, num_users)
    lengths = shortest + (mean_length - shortest) * spread / spread.mean()
    lengths = np.minimum(np.round(lengths).astype(np.int64), num_items // 4)
    tries = np.ceil(lengths * 1.5).astype(np.int64) + 8  # of which those that repeat an item fall away
    users = np.repeat(np.arange(num_users), tries)
    liked = random.integers(NUM_GROUPS, size=(num_users, TASTES))
    groups = liked[users, random.integers(TASTES, size=len(users))]
    begins = random.random(len(users)) > FOLLOWS
    begins[np.concatenate(([0], np.cumsum(tries)[:-1]))] = True
    groups = groups[np.maximum.accumulate(np.where(begins, np.arange(len(users)), 0))]
    strays = random.random(len(users)) < STRAYS
    groups[strays] = random.integers(NUM_GROUPS, size=int(strays.sum()))
    of_group = num_items // NUM_GROUPS
    items = groups * of_group + (of_group * random.random(len(users)) ** 2).astype(np.int64)
    first = np.sort(np.unique(users * num_items + items, return_index=True)[1])
    users, items = users[first], items[first]
    places = np.arange(len(users)) - np.searchsorted(users, users)
    kept = places < lengths[users]
    return Events(users[kept].astype(np.int32), items[kept].astype(np.int32), num_users, of_group * NUM_GROUPS)


def of_folder(folder: Path) -> Events:
    """The events of a data set's folder, the first of each user and item."""
    from services.adapters.evaluation_folder import read_folder  # that of the project's own environment alone

    data = read_folder(folder)
    users, items, num_items = data.users.codes.astype(np.int64), data.items.codes, len(data.items.words)
    first = np.sort(np.unique(users * num_items + items, return_index=True)[1])
    return Events(users[first].astype(np.int32), items[first].astype(np.int32), len(data.users.words), num_items)
