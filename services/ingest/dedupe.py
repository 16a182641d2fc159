"""Which event ids were seen lately: the same id again is a duplicate, whatever else the event says."""

from collections.abc import Sequence
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import structlog

from services.domain.ids import EventId

log = structlog.get_logger()

# Ids in the hash table before they are sorted in. Larger: more memory, 100 bytes each; smaller: sorted in more often.
_RECENT: Final = 131_072
# A run is merged into the one before once it has this share of it. Larger: more to search; smaller: merged more often.
_MERGE_SHARE: Final = 0.1

BYTES_AN_ID: Final = 16  # once it is sorted in: a hash and an event time

_Run: TypeAlias = list[npt.NDArray[np.int64]]
"""Hashes, sorted, and the event time of each."""


def num_never_forgotten(max_ids: int) -> int:
    """How many ids, the newest by event time, are always among those remembered.

    A sixteenth less than the bound: so many more than need be are forgotten at once, so that it comes seldom.
    """
    return max_ids - max_ids // 16


class SeenEvents:
    """Remembers ids; beyond `max_ids` those with the oldest event times are forgotten first.

    Partitions are read at different speeds, so how late an event is says nothing about whether it was seen; only its
    id does. An id is kept as its 64-bit hash, salted anew in each process: among n ids, a new one is taken for a
    duplicate with a chance of n / 2^64, one in 10^12 for 20 million. Memory: `BYTES_AN_ID`, and two thirds of it more
    while runs are merged or ids forgotten.
    """

    def __init__(self, max_ids: int) -> None:
        self._max_ids = max_ids
        self._recent: dict[int, int] = {}
        self._runs: list[_Run] = []

    def first_times(self, event_ids: Sequence[EventId], event_times_us: Sequence[int]) -> list[bool]:
        """For each id whether it is new, the earlier ones of this call included; remembers them all."""
        if self._max_ids == 0:
            return [True] * len(event_ids)
        hashes = np.fromiter(map(hash, event_ids), np.int64, len(event_ids))
        recent, first = self._recent, []
        for number, known, time_us in zip(hashes.tolist(), self._are_sorted_in(hashes), event_times_us, strict=True):
            new = not known and number not in recent
            if new:
                recent[number] = time_us
            first.append(new)
        if len(recent) > _RECENT or len(self) > self._max_ids:
            self._sort_in()
        return first

    def _are_sorted_in(self, hashes: npt.NDArray[np.int64]) -> list[bool]:
        found = np.zeros(len(hashes), dtype=np.bool_)
        for run, _ in self._runs:
            places = np.minimum(np.searchsorted(run, hashes), len(run) - 1)
            found |= run[places] == hashes
        return found.tolist()

    def __len__(self) -> int:
        return len(self._recent) + sum(len(hashes) for hashes, _ in self._runs)

    def _sort_in(self) -> None:
        hashes = np.fromiter(self._recent.keys(), np.int64, len(self._recent))
        times = np.fromiter(self._recent.values(), np.int64, len(self._recent))
        self._recent = {}
        order = np.argsort(hashes, kind="stable")
        self._runs.append([hashes[order], times[order]])
        while len(self._runs) > 1 and len(self._runs[-1][0]) > _MERGE_SHARE * len(self._runs[-2][0]):
            small = self._runs.pop()
            _merge(self._runs[-1], small)
        if len(self) > self._max_ids:
            self._forget_oldest()

    def _forget_oldest(self) -> None:
        """Says until when."""
        num_kept = num_never_forgotten(self._max_ids)
        times = np.concatenate([run[1] for run in self._runs])
        times.partition(len(times) - num_kept)
        oldest_kept, gone_until = int(times[len(times) - num_kept]), int(times[: len(times) - num_kept].max())
        num_of_that_time = int(np.count_nonzero(times[len(times) - num_kept :] == oldest_kept))
        del times
        for run in self._runs:
            kept = run[1] > oldest_kept
            of_that_time = np.flatnonzero(run[1] == oldest_kept)[:num_of_that_time]
            num_of_that_time -= len(of_that_time)
            kept[of_that_time] = True
            for column in range(2):
                run[column] = run[column][kept]
        self._runs = [run for run in self._runs if len(run[0])]
        log.warning("seen_ids_forgotten", until_event_time_us=gone_until, num_ids=len(self))


def _merge(run: _Run, small: _Run) -> None:
    """Puts the smaller run into the other, one column after the other: both at once would take twice the memory."""
    places = np.searchsorted(run[0], small[0])
    for column in range(2):
        run[column] = np.insert(run[column], places, small[column])
