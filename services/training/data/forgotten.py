"""Leaves out what users did who asked to be forgotten: the log may still hold it while the wish is open (law 7)."""

from collections.abc import Iterable
from typing import Final

import numpy as np

from services.domain.event_columns import EventColumns
from services.domain.users import Erasure

_NEVER: Final = int(np.iinfo(np.int64).min)


def without_forgotten(events: EventColumns, wishes: Iterable[Erasure]) -> EventColumns:
    """The events but those of users who asked to be forgotten then or later; what they did since stays."""
    until_us: dict[str, int] = {}
    for wish in wishes:
        until_us[wish.user_id] = max(wish.request_time_us, until_us.get(wish.user_id, _NEVER))
    if until_us.keys().isdisjoint(events.users.words):
        return events
    forgotten_until = np.array([until_us.get(word, _NEVER) for word in events.users.words], np.int64)
    return events.chosen(events.event_times_us > forgotten_until[events.users.codes])
