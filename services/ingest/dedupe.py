"""Which event ids were seen lately: the same id within a window of event time is a duplicate."""

from collections import defaultdict
from typing import Final

from services.domain.ids import EventId

_BUCKET_US: Final = 3_600_000_000  # one hour; larger: forgets in bigger steps; smaller: more sets


class SeenEvents:
    """Remembers ids by the hour of their event time and forgets hours further than `window_us` behind the newest.

    A repeated event carries the time of the original, so one bucket is asked. Memory: about 130 bytes an event in the
    window (measured: an id of 32 characters in a set).
    """

    def __init__(self, window_us: int) -> None:
        self._window_us = window_us
        self._buckets: dict[int, set[EventId]] = defaultdict(set)
        self._newest_us = 0

    def first_time(self, event_id: EventId, event_time_us: int) -> bool:
        """True, and remembers it, when this id was not seen within the window."""
        if event_time_us < self._newest_us - self._window_us or self._window_us == 0:
            return True  # too late to be remembered; kept rather than lost
        bucket = self._buckets[event_time_us // _BUCKET_US]
        if event_id in bucket:
            return False
        bucket.add(event_id)
        if event_time_us > self._newest_us:
            self._advance(event_time_us)
        return True

    def __len__(self) -> int:
        return sum(len(bucket) for bucket in self._buckets.values())

    def _advance(self, event_time_us: int) -> None:
        crossed = event_time_us // _BUCKET_US > self._newest_us // _BUCKET_US
        self._newest_us = event_time_us
        if crossed:
            oldest = (event_time_us - self._window_us) // _BUCKET_US
            for hour in [hour for hour in self._buckets if hour < oldest]:
                del self._buckets[hour]
