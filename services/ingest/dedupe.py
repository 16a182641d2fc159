"""Which event ids were seen lately: the same id again is a duplicate."""

from collections import defaultdict
from typing import Final

from services.domain.ids import EventId

_BUCKET_US: Final = 3_600_000_000  # one hour; larger: forgets in bigger steps; smaller: more sets


class SeenEvents:
    """Remembers ids by the hour of their event time; beyond `max_ids` the oldest hours are forgotten first.

    A repeated event carries the time of the original, so one bucket is asked. Partitions are read at different speeds,
    so how late an event is says nothing about whether it was seen; only its id does. Memory: about 130 bytes an id
    (measured: 32 characters in a set).
    """

    def __init__(self, max_ids: int) -> None:
        self._max_ids = max_ids
        self._buckets: dict[int, set[EventId]] = defaultdict(set)
        self._count = 0

    def first_time(self, event_id: EventId, event_time_us: int) -> bool:
        """True, and remembers it, unless this id is remembered already."""
        bucket = self._buckets[event_time_us // _BUCKET_US]
        if event_id in bucket:
            return False
        bucket.add(event_id)
        self._count += 1
        while self._count > self._max_ids:
            self._count -= len(self._buckets.pop(min(self._buckets)))
        return True

    def __len__(self) -> int:
        return self._count
