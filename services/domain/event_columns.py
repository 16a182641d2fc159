"""Events as columns, the form in which training reads the log: a number for each word, and each word once."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt


@dataclass(frozen=True, slots=True)
class Words:
    """A column of words. Row n's word is `words[codes[n]]`; no word stands twice, and each is in some row."""

    codes: npt.NDArray[np.int32]
    words: Sequence[str]

    def __len__(self) -> int:
        return len(self.codes)

    @classmethod
    def of(cls, column: Iterable[str]) -> Self:
        """Numbers the words in order of appearance."""
        numbers: dict[str, int] = {}
        codes = np.fromiter((numbers.setdefault(word, len(numbers)) for word in column), np.int32)
        return cls(codes, tuple(numbers))

    def chosen(self, which: npt.NDArray[np.bool_]) -> "Words":
        """The rows where `which` is true; words that are in none of them are left out."""
        left, codes = np.unique(self.codes[which], return_inverse=True)
        return Words(codes.astype(np.int32), tuple(self.words[code] for code in left.tolist()))

    def spelled(self) -> list[str]:
        """The word of each row; for few rows."""
        return [self.words[code] for code in self.codes]

    def rows(self, row_of: Mapping[Any, int]) -> npt.NDArray[np.int32]:
        """What a mapping has for each row's word, int32 (num_rows,); 0 where it has nothing."""
        table = np.fromiter((row_of.get(word, 0) for word in self.words), np.int32, len(self.words))
        rows: npt.NDArray[np.int32] = table[self.codes]
        return rows


@dataclass(frozen=True, slots=True)
class EventColumns:
    """Events as columns of equal length, in the log's order: by (event_time, event_id)."""

    users: Words
    items: Words
    event_types: Words
    event_times_us: npt.NDArray[np.int64]
    values: npt.NDArray[np.float64]
    """NaN where an event has none."""

    def __len__(self) -> int:
        return len(self.event_times_us)

    def chosen(self, which: npt.NDArray[np.bool_]) -> "EventColumns":
        """The events where `which`, bool (num_events,), is true."""
        return EventColumns(
            self.users.chosen(which),
            self.items.chosen(which),
            self.event_types.chosen(which),
            self.event_times_us[which],
            self.values[which],
        )
