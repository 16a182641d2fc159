"""Which event ids were seen lately: the same id again is a duplicate, whatever else the event says."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt
import structlog

from services.domain.ids import EventId

log = structlog.get_logger()

# Ids in the hash table before they are sorted in. Larger: more memory, 100 bytes each; smaller: sorted in more often.
_RECENT: Final = 131_072
# A run is merged into the one before once it has this share of it. Larger: more to search; smaller: merged more often.
_MERGE_SHARE: Final = 0.1

_Hashes = npt.NDArray[np.int64]
_Times = npt.NDArray[np.int64]


def num_never_forgotten(max_ids: int) -> int:
    """How many ids, the newest by event time, are always among those remembered.

    A sixteenth less than the bound: so many more than need be are forgotten at once, so that it comes seldom.
    """
    return max_ids - max_ids // 16


class SeenEvents:
    """Remembers ids; beyond `max_ids` those with the oldest event times are forgotten first.

    Partitions are read at different speeds, so how late an event is says nothing about whether it was seen; only its
    id does. An id is kept as its 64-bit hash, salted anew in each process: among n ids, a new one is taken for a
    duplicate with a chance of n / 2^64, one in 10^12 for 20 million. Memory: 16 bytes an id, half as much again
    while runs are merged.
    """

    def __init__(self, max_ids: int) -> None:
        self._max_ids = max_ids
        self._recent: dict[int, int] = {}
        self._runs: list[tuple[_Hashes, _Times]] = []  # each sorted by hash, the longest first

    def first_times(self, event_ids: Sequence[EventId], event_times_us: Sequence[int]) -> list[bool]:
        """For each id whether it is new, the earlier ones of this call included; remembers them all."""
        if self._max_ids == 0:
            return [True] * len(event_ids)
        hashes = np.fromiter(map(hash, event_ids), np.int64, len(event_ids))
        sorted_in = np.zeros(len(hashes), dtype=np.bool_)
        for run, _ in self._runs:
            places = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            sorted_in |= run[places] == hashes
        recent, first = self._recent, []
        for number, known, time_us in zip(hashes.tolist(), sorted_in.tolist(), event_times_us, strict=True):
            new = not known and number not in recent
            if new:
                recent[number] = time_us
            first.append(new)
        if len(recent) > _RECENT or len(self) > self._max_ids:
            self._sort_in()
        return first

    def __len__(self) -> int:
        return len(self._recent) + sum(len(hashes) for hashes, _ in self._runs)

    def _sort_in(self) -> None:
        hashes = np.fromiter(self._recent.keys(), np.int64, len(self._recent))
        times = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        self._recent = {}
        self._runs.append(_sorted(hashes, times))
        while len(self._runs) > 1 and len(self._runs[-1][0]) > _MERGE_SHARE * len(self._runs[-2][0]):
            (last_hashes, last_times), (hashes, times) = self._runs.pop(), self._runs.pop()
            self._runs.append(_sorted(np.concatenate((hashes, last_hashes)), np.concatenate((times, last_times))))
        if len(self) > self._max_ids:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Says until when."""
        hashes, times = (np.concatenate(parts) for parts in zip(*self._runs, strict=True))
        num_kept = num_never_forgotten(self._max_ids)
        by_age = np.argpartition(times, len(times) - num_kept)
        kept, gone = by_age[-num_kept:], by_age[:-num_kept]
        self._runs = [_sorted(hashes[kept], times[kept])]
        log.warning("seen_ids_forgotten", until_event_time_us=int(times[gone].max()), num_ids=len(self))


def _sorted(hashes: _Hashes, times: _Times) -> tuple[_Hashes, _Times]:
    order = np.argsort(hashes, kind="stable")
    return hashes[order], times[order]
