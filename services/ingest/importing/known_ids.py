"""Which event ids the log has: exact over its whole past, date by date, in bounded memory.

A repeated event carries the time of the original, so the log is asked about one date. Ids are compared by 64-bit hashes
salted in each process: among n ids of one date a new one is taken for a duplicate with a chance of n / 2^64.
"""

from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa

# Hashes held, 8 bytes each, beyond those of the date in hand. Larger: more memory; smaller: dates that come again and
# again, as in a file that is not in time order, are read from the log again and again.
MAX_HELD: Final = 20_000_000

_Hashes: TypeAlias = npt.NDArray[np.int64]


class LoggedIds(Protocol):
    """What is asked of the log."""

    def files_by_day(self) -> Mapping[int, Sequence[str]]:
        """The files of each date now, as days since the epoch."""
        ...

    def ids_in(self, files: Sequence[str]) -> pa.ChunkedArray:
        """The event ids in these files, strings; a file that housekeeping replaced meanwhile is passed over."""
        ...


@dataclass(slots=True)
class _Date:
    files: set[str] = field(default_factory=set)
    hashes: _Hashes = field(default_factory=lambda: np.empty(0, np.int64))
    """Sorted, each once."""


class KnownIds:
    """What others log while an import runs is seen too, from the next question on."""

    def __init__(self, log: LoggedIds, max_held: int = MAX_HELD) -> None:
        self._log = log
        self._max_held = max_held
        self._dates: OrderedDict[int, _Date] = OrderedDict()
        self._num_held = 0

    def first_times(self, event_ids: Sequence[str], days: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
        """For each id whether neither the log nor an earlier one of this call has it."""
        hashes = np.fromiter(map(hash, event_ids), np.int64, len(event_ids))
        _, first = np.unique(hashes, return_index=True)
        new = np.zeros(len(hashes), dtype=np.bool_)
        new[first] = True
        files = self._log.files_by_day()
        for day in np.unique(days).tolist():
            if day in files:
                of_day = days == day
                new[of_day] &= ~_in_sorted(hashes[of_day], self._known(day, files[day]))
        return new

    def _known(self, day: int, files: Sequence[str]) -> _Hashes:
        date = self._dates.setdefault(day, _Date())
        self._dates.move_to_end(day)
        unread = [name for name in files if name not in date.files]
        if unread:
            ids = self._log.ids_in(unread)
            read = [np.fromiter(map(hash, chunk.to_pylist()), np.int64, len(chunk)) for chunk in ids.chunks]
            self._num_held -= len(date.hashes)
            date.hashes = np.unique(np.concatenate([date.hashes, *read]))
            self._num_held += len(date.hashes)
        date.files = set(files)
        while len(self._dates) > 1 and self._num_held > self._max_held:
            self._num_held -= len(self._dates.popitem(last=False)[1].hashes)
        return date.hashes


def _in_sorted(wanted: _Hashes, known: _Hashes) -> npt.NDArray[np.bool_]:
    if len(known) == 0:
        return np.zeros(len(wanted), dtype=np.bool_)
    places = np.minimum(np.searchsorted(known, wanted), len(known) - 1)
    return np.asarray(known[places] == wanted)
