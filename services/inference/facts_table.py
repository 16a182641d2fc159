"""What is known of items, in columns: one row an item, its words as numbers, its price as it was said, exactly.

About 20 bytes a row and 4 a word. Immutable: a change makes another table.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple, Self

import numpy as np
import numpy.typing as npt

from services.domain.items import Facts, Price
from services.inference.excluded import Rows

Codes = npt.NDArray[np.int32]

CATEGORY: Final = "category"
TAG: Final = "tag"
CURRENCY: Final = "currency"
_NO_CURRENCY: Final = -1


class Word(NamedTuple):
    """A value of a field; two fields may share a value."""

    field: str
    value: str


def attribute(name: str, value: str) -> Word:
    return Word(f"attribute {name}", value)


class Words:
    """The number of every word that was heard of. It only grows, so tables made earlier may go on using it."""

    def __init__(self) -> None:
        self._codes: dict[Word, int] = {}
        self._are_categories = bytearray()

    def __len__(self) -> int:
        return len(self._codes)

    def add(self, word: Word) -> int:
        """The word's number, also where it is new. For one thread."""
        code = self._codes.get(word)
        if code is None:
            code = len(self._codes)
            self._are_categories.append(word.field == CATEGORY)
            self._codes[word] = code
        return code

    def get(self, word: Word) -> int | None:
        """The word's number; None for one that nobody used. For any thread."""
        return self._codes.get(word)

    def are_categories(self) -> npt.NDArray[np.bool_]:
        """Which words are, by number; those that are added later are none of them."""
        return np.frombuffer(bytes(self._are_categories), dtype=np.bool_)

    def only(self, are_kept: npt.NDArray[np.bool_]) -> "Words":
        """Those that are kept, in their order, with numbers from 0 on."""
        kept = Words()
        for word, code in self._codes.items():
            if are_kept[code]:
                kept.add(word)
        return kept


@dataclass(frozen=True, slots=True)
class FactsTable:
    """n rows. starts: (n + 1,) int64, where the words of each row begin among the codes. A currency of -1: no price."""

    starts: npt.NDArray[np.int64]
    codes: Codes
    """Of categories, tags and attributes, those of an item once and ascending."""
    currencies: Codes
    units: npt.NDArray[np.int64]
    nanos: npt.NDArray[np.int32]

    @classmethod
    def of(cls, facts: Iterable[Facts], words: Words) -> Self:
        """A row for each, in this order; costs some microseconds a row."""
        lengths, codes, prices = [0], list[int](), list[tuple[int, int, int]]()
        for each in facts:
            found = sorted({words.add(word) for word in _words(each)})
            lengths.append(len(found))
            codes += found
            prices.append(_price(each.price, words))
        columns = np.array(prices, dtype=np.int64).reshape(-1, 3)
        return cls(
            np.cumsum(lengths, dtype=np.int64),
            np.array(codes, dtype=np.int32),
            columns[:, 0].astype(np.int32),
            columns[:, 1].copy(),
            columns[:, 2].astype(np.int32),
        )

    def __len__(self) -> int:
        return len(self.units)

    def gather(self, rows: Rows) -> "FactsTable":
        """These rows, in this order; -1 is a row of which nothing is known."""
        are_known = rows >= 0
        lengths = np.where(are_known, np.diff(self.starts, append=0)[rows], 0)  # append: row -1 must be one
        starts = np.concatenate(([0], np.cumsum(lengths)))
        first = np.where(are_known, self.starts[rows], 0)
        places = np.repeat(first - starts[:-1], lengths) + np.arange(starts[-1])
        return FactsTable(
            starts,
            self.codes[places],
            _gathered(self.currencies, rows, are_known, _NO_CURRENCY),
            _gathered(self.units, rows, are_known, 0),
            _gathered(self.nanos, rows, are_known, 0),
        )

    def followed_by(self, other: "FactsTable") -> "FactsTable":
        """The rows of this one, and then of the other."""
        return FactsTable(
            np.concatenate((self.starts, other.starts[1:] + self.starts[-1])),
            np.concatenate((self.codes, other.codes)),
            np.concatenate((self.currencies, other.currencies)),
            np.concatenate((self.units, other.units)),
            np.concatenate((self.nanos, other.nanos)),
        )

    def used(self, num_words: int) -> npt.NDArray[np.bool_]:
        """Which words are any row's, (num_words,)."""
        used = np.zeros(num_words, dtype=np.bool_)
        used[self.codes] = True
        used[self.currencies[self.currencies >= 0]] = True
        return used

    def renumbered(self, new_codes: Codes) -> "FactsTable":
        """The same with other numbers for the words, which keep their order. new_codes: by the old ones."""
        has_price = self.currencies >= 0
        currencies = np.where(has_price, new_codes[np.where(has_price, self.currencies, 0)], _NO_CURRENCY)
        return FactsTable(self.starts, new_codes[self.codes], currencies.astype(np.int32), self.units, self.nanos)


NO_ROWS_KNOWN: Final = FactsTable.of((), Words())


def _words(facts: Facts) -> Sequence[Word]:
    return [
        *(Word(CATEGORY, each) for each in facts.categories),
        *(Word(TAG, each) for each in facts.tags),
        *(attribute(name, value) for name, value in facts.attributes.items()),
    ]


def _price(price: Price | None, words: Words) -> tuple[int, int, int]:
    if price is None:
        return _NO_CURRENCY, 0, 0
    return words.add(Word(CURRENCY, price.currency_code)), price.units, price.nanos


def _gathered(column: npt.NDArray[Any], rows: Rows, are_known: npt.NDArray[np.bool_], nothing: int) -> npt.NDArray[Any]:
    found = np.full(len(rows), nothing, dtype=column.dtype)
    found[are_known] = column[rows[are_known]]
    return found
