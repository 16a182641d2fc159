"""Counts a stream of events by window, in memory that grows with the catalogue and not with the log."""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Final

import numpy as np
import numpy.typing as npt

from services.domain.event_columns import EventColumns, Words
from services.training.checking.item_counts import ItemCounts
from services.training.checking.keys import MAX_KEYS, SampledKeys, mixed, word_keys
from services.training.checking.windows import NUM_WINDOWS, window_of

Counts = npt.NDArray[np.int64]

# Types by themselves. Larger: ids sent as types are as many names in memory; smaller: some operator's types share one.
MAX_TYPES: Final = 256
OTHER_TYPES: Final = "(others)"


@dataclass(frozen=True)
class Counted:
    """What a log holds. Arrays are of windows, (NUM_WINDOWS,) int64 unless said, the newest first."""

    num_all: int
    """Of the whole log, whenever they were."""
    num_future: int
    """Later than the newest event that is not from the future; in no window."""
    num_events: Counts
    """(NUM_WINDOWS + 1,): of one window more, which says whether the log covers the one before."""
    of_types: dict[str, Counts]
    num_wanting: Counts
    """Events of types that want a value."""
    num_without_value: Counts
    """Of those, the ones without a finite value."""
    num_without_ids: Counts
    """With an empty user, item or type."""
    num_users: Counts
    num_keys: Counts
    """Events that were looked at for duplicates."""
    num_different_keys: Counts
    item_counts: npt.NDArray[np.int32]
    """(num_items, NUM_WINDOWS), in no particular order of items."""
    item_first: Counts
    """(num_items,): the window of the item's first event, which may be past NUM_WINDOWS; -1: from the future."""


class Tally:
    """Adds up events; their order, and how they are cut into pieces, does not matter."""

    def __init__(self, newest_us: int, wanting_value: Collection[str], max_keys: int = MAX_KEYS) -> None:
        """newest_us: the newest event that is not from the future. wanting_value: types that want a value."""
        self._newest_us, self._wanting_value = newest_us, frozenset(wanting_value)
        self._num_all = self._num_future = 0
        self._num_events = np.zeros(NUM_WINDOWS + 1, np.int64)
        self._of_types: dict[str, Counts] = {}
        self._num_wanting, self._num_without_value, self._num_without_ids = np.zeros((3, NUM_WINDOWS), np.int64)
        self._users = SampledKeys(once=True, max_keys=max_keys)
        self._events = SampledKeys(once=False, max_keys=max_keys)
        self._items = ItemCounts()

    @property
    def num_all(self) -> int:
        return self._num_all

    def add(self, events: EventColumns) -> None:
        windows = window_of(events.event_times_us, self._newest_us)
        self._num_all += len(events)
        self._num_future += int((windows < 0).sum())
        past = windows >= 0
        self._items.add(events.items.words, events.items.codes[past], windows[past])
        self._num_events += np.bincount(windows[past & (windows <= NUM_WINDOWS)], minlength=NUM_WINDOWS + 1)
        near = past & (windows < NUM_WINDOWS)
        if near.any():
            self._add_near(_rows(events, near), windows[near])

    def _add_near(self, events: EventColumns, windows: Counts) -> None:
        of_types = _by_word(events.event_types, windows)
        for word, counts in zip(events.event_types.words, of_types, strict=True):
            name = word if word in self._of_types or len(self._of_types) < MAX_TYPES else OTHER_TYPES
            self._of_types[name] = self._of_types.get(name, np.zeros(NUM_WINDOWS, np.int64)) + counts
        wanting = _in(events.event_types, self._wanting_value)
        self._num_wanting += _by_window(windows[wanting])
        self._num_without_value += _by_window(windows[wanting & ~np.isfinite(events.values)])
        nameless = _in(events.users, ("",)) | _in(events.items, ("",)) | _in(events.event_types, ("",))
        self._num_without_ids += _by_window(windows[nameless])
        self._add_keys(events, windows)

    def _add_keys(self, events: EventColumns, windows: Counts) -> None:
        users = word_keys(events.users.words)
        seen_users, seen_windows = np.nonzero(_by_word(events.users, windows))
        self._users.add(mixed(users[seen_users]), seen_windows)
        items, types = word_keys(events.items.words), word_keys(events.event_types.words)
        times = events.event_times_us.view(np.uint64)
        parts = (users[events.users.codes], items[events.items.codes], types[events.event_types.codes], times)
        self._events.add(mixed(*parts), windows)

    def counted(self) -> Counted:
        return Counted(
            num_all=self._num_all,
            num_future=self._num_future,
            num_events=self._num_events,
            of_types={name: counts for name, counts in sorted(self._of_types.items()) if counts.any()},
            num_wanting=self._num_wanting,
            num_without_value=self._num_without_value,
            num_without_ids=self._num_without_ids,
            num_users=self._users.num_held() * self._users.one_in,
            num_keys=self._events.num_held(),
            num_different_keys=self._events.num_different(),
            item_counts=self._items.counts(),
            item_first=self._items.first(),
        )


def _rows(events: EventColumns, which: npt.NDArray[np.bool_]) -> EventColumns:
    """As `chosen`, but words that are in no row stay: to find them takes longer than all that is counted here."""
    users, items, types = (
        Words(each.codes[which], each.words) for each in (events.users, events.items, events.event_types)
    )
    return EventColumns(users, items, types, events.event_times_us[which], events.values[which])


def _by_window(windows: Counts) -> Counts:
    return np.bincount(windows, minlength=NUM_WINDOWS)


def _by_word(column: Words, windows: Counts) -> Counts:
    """(num_words, NUM_WINDOWS)."""
    flat = column.codes.astype(np.int64) * NUM_WINDOWS + windows
    return np.bincount(flat, minlength=len(column.words) * NUM_WINDOWS).reshape(-1, NUM_WINDOWS)


def _in(column: Words, words: Collection[str]) -> npt.NDArray[np.bool_]:
    """Whether each row's word is one of these, (n,)."""
    table = np.fromiter((word in words for word in column.words), np.bool_, len(column.words))
    chosen: npt.NDArray[np.bool_] = table[column.codes]
    return chosen
