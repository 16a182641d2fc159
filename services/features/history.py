"""Histories as of a moment, read from the columns of the offline log.

`domain.history_input.encoder_input` defines what the model sees; this reads the same for any user and any past moment
without building an entry per event. A read sees only events whose time lies strictly before the moment, so nothing
of the future leaks (law 8): an event of the very same microsecond is not known yet.
"""

from typing import NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from services.domain.event_columns import EventColumns
from services.domain.event_types import EventTypes
from services.domain.history_input import HistoryRows, gap_rows
from services.domain.ids import UserId
from services.domain.vocabulary import Vocabulary

Rows: TypeAlias = npt.NDArray[np.int64]
ItemRows: TypeAlias = npt.NDArray[np.int32]
EventTypeRows: TypeAlias = npt.NDArray[np.int16]


class Sequences(NamedTuple):
    """Events of known items, user after user, oldest first within each."""

    items: ItemRows
    """(num_events,), as are the next two."""
    types: EventTypeRows
    times_us: Rows
    starts: Rows
    """(num_users + 1,): user u's events are at starts[u] to starts[u + 1]."""


class Histories:
    """Every user's events, to be read as of any moment. Users are rows of `user_rows`, in order of appearance."""

    def __init__(self, events: EventColumns, vocabulary: Vocabulary, event_types: EventTypes) -> None:
        """Reads the columns once; it then holds about 40 bytes an event."""
        self.user_rows = {UserId(word): row for row, word in enumerate(events.users.words)}
        users = events.users.codes
        items = events.items.rows(vocabulary.item_rows)
        types = event_type_rows_of(events, vocabulary)
        self._entering = _ByUser(users, events.event_times_us, len(self.user_rows), types > 0)
        self._items, self._types = items[self._entering.order], types[self._entering.order]
        consuming = {kind.name: 1 for kind in event_types.declared if kind.consumes}
        consumes = (events.event_types.rows(consuming) > 0) & (items > 0)
        self._consuming = _ByUser(users, events.event_times_us, len(self.user_rows), consumes)
        self._consumed = items[self._consuming.order]

    def as_of(self, user_row: int, time_us: int, max_history: int) -> HistoryRows:
        """The model's input just before a moment."""
        span = self._entering.before(user_row, time_us)
        newest = slice(max(span.start, span.stop - max_history), span.stop)
        items, types, times_us = self._items[newest], self._types[newest], self._entering.times_us[newest]
        known = items > 0
        return HistoryRows(items[known].astype(np.int64), types[known].astype(np.int64), gap_rows(times_us[known]))

    def consumed_as_of(self, user_row: int, time_us: int) -> Rows:
        """The rows of the items that the user was done with just before a moment; an item may be named twice."""
        return self._consumed[self._consuming.before(user_row, time_us)].astype(np.int64)

    def sequences(self, part: npt.NDArray[np.bool_]) -> Sequences:
        """What a part of the log holds to learn from; part: one for each event of the columns."""
        chosen = part[self._entering.order] & (self._items > 0)
        starts: Rows = np.concatenate(([0], np.cumsum(chosen)))[self._entering.starts]
        return Sequences(self._items[chosen], self._types[chosen], self._entering.times_us[chosen], starts)


class _ByUser:
    """Chosen events, user after user, each user's in the log's order."""

    def __init__(self, users: ItemRows, times_us: Rows, num_users: int, chosen: npt.NDArray[np.bool_]) -> None:
        positions = np.flatnonzero(chosen).astype(np.int32)  # a log of 2^31 events needs more memory than a machine has
        self.order = positions[np.argsort(users[positions], kind="stable")]
        self.times_us = times_us[self.order]
        self.starts = np.concatenate(([0], np.cumsum(np.bincount(users[positions], minlength=num_users))))

    def before(self, user_row: int, time_us: int) -> slice:
        start, stop = int(self.starts[user_row]), int(self.starts[user_row + 1])
        return slice(start, start + int(np.searchsorted(self.times_us[start:stop], time_us, side="left")))


def event_type_rows_of(events: EventColumns, vocabulary: Vocabulary) -> EventTypeRows:
    """The event-type row of each event, (num_events,); 0 for one that does not enter the model's input."""
    rows = np.zeros(len(events), np.int16)
    places = events.event_types.rows({name: place for place, name in enumerate(vocabulary.event_type_rows, start=1)})
    for place, of_type in enumerate(vocabulary.event_type_rows.values(), start=1):
        chosen = np.flatnonzero(places == place)
        rows[chosen] = of_type.rows(events.values[chosen])
    return rows
