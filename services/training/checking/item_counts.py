"""Events of each item and window, and since when each item is known."""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from services.training.checking.windows import NUM_WINDOWS

_FIRST_ROWS: Final = 1_024  # larger: a small log takes more memory; smaller: more moves while a large one fills


class ItemCounts:
    """Grows with the catalogue: 68 bytes an item, and its id once."""

    def __init__(self) -> None:
        self._rows: dict[str, int] = {}
        self._counts = np.zeros((_FIRST_ROWS, NUM_WINDOWS), np.int32)
        self._first = np.full(_FIRST_ROWS, -1, np.int64)

    def add(self, words: Sequence[str], codes: npt.NDArray[np.int32], windows: npt.NDArray[np.int64]) -> None:
        """Events by item, `words[codes[n]]`, and window, 0 or more; those past NUM_WINDOWS make an item known."""
        rows = self._rows_of(words)
        oldest = np.full(len(words), -1, np.int64)
        np.maximum.at(oldest, codes, windows)
        self._first[rows] = np.maximum(self._first[rows], oldest)
        near = windows < NUM_WINDOWS
        flat = codes[near].astype(np.int64) * NUM_WINDOWS + windows[near]
        counts = np.bincount(flat, minlength=len(words) * NUM_WINDOWS).reshape(-1, NUM_WINDOWS)
        self._counts[rows] += counts.astype(np.int32)

    def counts(self) -> npt.NDArray[np.int32]:
        """(num_items, NUM_WINDOWS), in the order in which items were first met."""
        return self._counts[: len(self._rows)]

    def first(self) -> npt.NDArray[np.int64]:
        """The window of each item's first event in the whole log, (num_items,); the larger, the longer ago."""
        return self._first[: len(self._rows)]

    def _rows_of(self, words: Sequence[str]) -> npt.NDArray[np.int64]:
        known = self._rows
        rows = np.array([known.setdefault(word, len(known)) for word in words], np.int64)
        if len(known) > len(self._first):
            more = max(len(known), 2 * len(self._first)) - len(self._first)
            self._counts = np.concatenate((self._counts, np.zeros((more, NUM_WINDOWS), np.int32)))
            self._first = np.concatenate((self._first, np.full(more, -1, np.int64)))
        return rows
