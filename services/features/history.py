"""Histories as of a moment, read from the columns of the offline log.

`domain.history_input.encoder_input` defines what the model sees; this reads the same for any user and any past moment
without building an entry per event. A read sees only events whose time lies strictly before the moment, so nothing
of the future leaks (law 8): an event of the very same microsecond is not known yet.
"""

from collections.abc import Iterable, Mapping
from typing import Any, TypeAlias

import numpy as np
import numpy.typing as npt

from services.domain.event_types import EventTypes
from services.domain.ports import EventColumns
from services.domain.vocabulary import Vocabulary

Rows: TypeAlias = npt.NDArray[np.int64]


class Histories:
    """Every user's events, to be read as of any moment. Users are rows of `user_rows`, in order of appearance."""

    def __init__(self, events: EventColumns, vocabulary: Vocabulary, event_types: EventTypes) -> None:
        """Reads the columns once; it then holds about 64 bytes an event."""
        self.user_rows = {user_id: row for row, user_id in enumerate(dict.fromkeys(events.user_ids))}
        users = rows_of(events.user_ids, self.user_rows)
        items = rows_of(events.item_ids, vocabulary.item_rows)
        types = event_type_rows_of(events, vocabulary)
        self._entering = _ByUser(users, events.event_times_us, len(self.user_rows), types > 0)
        self._items, self._types = items[self._entering.order], types[self._entering.order]
        consuming = {kind.name: 1 for kind in event_types.declared if kind.consumes}
        consumes = (rows_of(events.event_types, consuming) > 0) & (items > 0)
        self._consuming = _ByUser(users, events.event_times_us, len(self.user_rows), consumes)
        self._consumed = items[self._consuming.order]

    def as_of(self, user_row: int, time_us: int, max_history: int) -> tuple[Rows, Rows]:
        """The encoder's input just before a moment: item rows and event-type rows, int64 (length,), oldest first."""
        span = self._entering.before(user_row, time_us)
        newest = slice(max(span.start, span.stop - max_history), span.stop)
        items, types = self._items[newest], self._types[newest]
        known = items > 0
        return items[known], types[known]

    def consumed_as_of(self, user_row: int, time_us: int) -> Rows:
        """The rows of the items that the user was done with just before a moment; an item may be named twice."""
        return self._consumed[self._consuming.before(user_row, time_us)]

    def sequences_before(self, time_us: int) -> tuple[Rows, Rows, Rows, Rows]:
        """All that the model may learn from as of a moment: (item rows, event-type rows, times in µs, starts).

        The first three are int64 (num_events,), known items only, user after user, oldest first within each; user u's
        events are at starts[u] to starts[u + 1], starts is int64 (num_users + 1,).
        """
        chosen = (self._entering.times_us < time_us) & (self._items > 0)
        starts = np.concatenate(([0], np.cumsum(chosen)))[self._entering.starts]
        return self._items[chosen], self._types[chosen], self._entering.times_us[chosen], starts


class _ByUser:
    """Chosen events, user after user, each user's in the log's order."""

    def __init__(self, users: Rows, times_us: Rows, num_users: int, chosen: npt.NDArray[np.bool_]) -> None:
        positions = np.flatnonzero(chosen)
        self.order = positions[np.argsort(users[positions], kind="stable")]
        self.times_us = times_us[self.order]
        self.starts = np.searchsorted(users[self.order], np.arange(num_users + 1))

    def before(self, user_row: int, time_us: int) -> slice:
        start, stop = int(self.starts[user_row]), int(self.starts[user_row + 1])
        return slice(start, start + int(np.searchsorted(self.times_us[start:stop], time_us, side="left")))


def event_type_rows_of(events: EventColumns, vocabulary: Vocabulary) -> Rows:
    """The event-type row of each event, int64 (num_events,); 0 for one that does not enter the model's input."""
    rows = np.zeros(len(events.event_types), np.int64)
    places = rows_of(
        events.event_types, {name: place for place, name in enumerate(vocabulary.event_type_rows, start=1)}
    )
    for place, of_type in enumerate(vocabulary.event_type_rows.values(), start=1):
        chosen = np.flatnonzero(places == place)
        rows[chosen] = of_type.rows(events.values[chosen])
    return rows


def rows_of(words: Iterable[str], rows: Mapping[Any, int]) -> Rows:
    """The row of each word, int64; 0 for a word without one."""
    return np.fromiter((rows.get(word, 0) for word in words), dtype=np.int64)
