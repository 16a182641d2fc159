"""Counting what differs and what repeats among very many things, in bounded memory.

A thing is a key of 64 bits. While there are few, all are held and counts are exact; past a bound only keys that end in
so many zero bits stay, which is a fair sample of the different things. Source: Wegman's adaptive sampling, in Flajolet,
On Adaptive Sampling, Computing 43 (1990).
"""

from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from services.training.checking.windows import NUM_WINDOWS

Keys = npt.NDArray[np.uint64]

# Keys held, 8 bytes each, and half as much again while a window's are looked through. Larger: more memory; smaller:
# counts of large logs are estimates sooner, off by some 1/sqrt(MAX_KEYS / NUM_WINDOWS), a thousandth, as it is.
MAX_KEYS: Final = 1 << 24


def word_keys(words: Sequence[str]) -> Keys:
    """(num_words,); Python's own hash, whose secret differs from process to process: nobody can make two collide."""
    return np.fromiter(map(hash, words), np.int64, len(words)).view(np.uint64)


def mixed(*parts: Keys) -> Keys:
    """One well spread key of several parts, (n,) each, their order counts.

    Source: the finaliser of SplitMix64, Steele, Lea and Flood, OOPSLA 2014.
    """
    key = np.zeros(len(parts[0]), np.uint64)
    for part in parts:
        key = (key ^ part) + np.uint64(0x9E3779B97F4A7C15)
        key = (key ^ (key >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        key = (key ^ (key >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        key ^= key >> np.uint64(31)
    return key


class SampledKeys:
    """The keys of each window; which are held at the end does not depend on the order in which they came."""

    def __init__(self, *, once: bool, max_keys: int = MAX_KEYS) -> None:
        """once: a key that comes again within a window is held once; else as often as it came."""
        self._once, self._max_keys = once, max_keys
        self._held: list[list[Keys]] = [[] for _ in range(NUM_WINDOWS)]
        self._num_held = 0
        self._zero_bits = 0

    @property
    def one_in(self) -> int:
        """Of so many different keys one is held."""
        return 1 << self._zero_bits

    def add(self, keys: Keys, windows: npt.NDArray[np.int64]) -> None:
        """Keys that `mixed` made, and the window of each, 0 to NUM_WINDOWS - 1; (n,) each."""
        sampled = self._is_sampled(keys)
        keys, windows = keys[sampled], windows[sampled]
        for window in np.unique(windows).tolist():
            self._held[window].append(keys[windows == window])
        self._num_held += len(keys)
        if self._num_held > self._max_keys:
            self._settle()
        while self._num_held > self._max_keys:
            self._zero_bits += 1
            self._settle()

    def num_held(self) -> npt.NDArray[np.int64]:
        """Of each window, (NUM_WINDOWS,)."""
        if self._once:
            self._settle()
        return np.array([sum(map(len, keys)) for keys in self._held], np.int64)

    def num_different(self) -> npt.NDArray[np.int64]:
        """Of those held, of each window, (NUM_WINDOWS,)."""
        return np.array([len(_once(np.concatenate(keys))) if keys else 0 for keys in self._held], np.int64)

    def _settle(self) -> None:
        for window, keys in enumerate(self._held):
            if keys:
                kept = np.concatenate(keys)
                keys.clear()
                kept = kept[self._is_sampled(kept)]
                self._held[window] = [_once(kept) if self._once else kept]
        self._num_held = sum(len(kept) for keys in self._held for kept in keys)

    def _is_sampled(self, keys: Keys) -> npt.NDArray[np.bool_]:
        sampled: npt.NDArray[np.bool_] = (keys & np.uint64(self.one_in - 1)) == 0
        return sampled


def _once(keys: Keys) -> Keys:
    """The different ones, sorted; ten times as fast as `unique` of NumPy 2.4, which hashes them."""
    keys = np.sort(keys)
    return keys[np.concatenate(([True], keys[1:] != keys[:-1]))] if len(keys) else keys
