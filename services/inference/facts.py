"""The facts of the catalog as a worker knows them, and what they are in rows of a model: what filters and rules ask.

The newest state is swapped by one assignment, like the model. What is known says by a fingerprint which facts they are,
the same on every replica that heard the same, in whichever order.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from hashlib import blake2b
from itertools import chain
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from services.domain.ids import ItemId, ModelVersion
from services.domain.items import NO_FACTS, Facts
from services.inference.excluded import NO_ROWS, Rows
from services.inference.facts_table import NO_ROWS_KNOWN, Codes, FactsTable, Word, Words
from services.inference.filter_flags import FilterFlags
from services.inference.serving_model import ServingModel

MODELS_KEPT: Final = 4  # live, canary, shadow, and one that comes. Larger: memory; smaller: a swap works out anew
SPARE_WORDS: Final = 1_000  # larger: words that no item has any more stay; smaller: they are counted out more often


@dataclass(frozen=True)
class KnownFacts:
    """Facts in rows of a model, or of a list, to be asked word by word. Row 0 of a model is none."""

    table: FactsTable
    words: Words
    version: str
    """A fingerprint of the facts of the whole catalog, hexadecimal. Empty: no item has any."""
    is_known: bool
    """False while the catalog has not answered since the worker started."""
    rows_by_code: npt.NDArray[np.int32]
    """Row after row of each word, the words in order."""
    codes_in_order: Codes
    are_categories: npt.NDArray[np.bool_]
    """By the number of a word."""
    flags: FilterFlags = field(default_factory=FilterFlags)
    """What filters said, kept as long as this is."""

    @classmethod
    def of(cls, table: FactsTable, words: Words, version: str, *, is_known: bool = True) -> Self:
        """Costs a sort of the words."""
        order = np.argsort(table.codes, kind="stable")
        rows = np.repeat(np.arange(len(table), dtype=np.int32), np.diff(table.starts))
        return cls(table, words, version, is_known, rows[order], table.codes[order], words.are_categories())

    def knows(self, word: Word) -> bool:
        """Whether any item was heard of that has the word."""
        return self.words.get(word) is not None

    def rows_of(self, word: Word) -> Rows:
        """The rows of the items that have the word, ascending."""
        code = self.words.get(word)
        if code is None:
            return NO_ROWS
        start, end = np.searchsorted(self.codes_in_order, (code, code + 1))
        return self.rows_by_code[start:end].astype(np.int64)

    def categories_of(self, row: int) -> frozenset[int]:
        """The numbers of the item's categories."""
        codes = self.table.codes[self.table.starts[row] : self.table.starts[row + 1]]
        return frozenset(codes[self.are_categories[codes]].tolist())


@dataclass(frozen=True, slots=True)
class CatalogFacts:
    """The facts of every item, as of one version of the catalog.

    words, slots: shared with earlier states, and only ever added to; of what was added later this one knows nothing.
    """

    version: int
    slots: dict[ItemId, int]
    """The row of each item in the table."""
    words: Words
    table: FactsTable
    digests: npt.NDArray[np.uint64]
    """(rows, 2): a fingerprint of each item and its facts."""
    fingerprint: str
    is_known: bool = True
    """False for what stands in while the catalog has not answered since the worker started."""

    @classmethod
    def empty(cls, *, is_known: bool = True) -> Self:
        return cls(0, {}, Words(), NO_ROWS_KNOWN, np.empty((0, 2), np.uint64), "", is_known)

    def after(self, version: int, items: Mapping[ItemId, Facts]) -> "CatalogFacts":
        """The state after these changes; costs a copy of the columns. For one thread, on the newest state only."""
        slots, num_before = self.slots, len(self.table)
        changed = np.fromiter((slots.setdefault(item_id, len(slots)) for item_id in items), np.int64, len(items))
        rows = np.full(len(slots), -1)
        rows[:num_before] = np.arange(num_before)
        rows[changed] = num_before + np.arange(len(changed))
        table = self.table.followed_by(FactsTable.of(items.values(), self.words)).gather(rows)
        digests = np.zeros((len(slots), 2), np.uint64)
        digests[:num_before] = self.digests
        digests[changed] = _digests(items)
        words, table = _without_unused(self.words, table)
        return CatalogFacts(version, slots, words, table, digests, _fingerprint(digests))

    def of_items(self, item_ids: Iterable[ItemId]) -> KnownFacts:
        """What is known of these items, one row each."""
        slots = np.fromiter((self.slots.get(item_id, -1) for item_id in item_ids), np.int64)
        slots[slots >= len(self.table)] = -1
        return KnownFacts.of(self.table.gather(slots), self.words, self.fingerprint, is_known=self.is_known)

    def of_model(self, model: ServingModel) -> KnownFacts:
        """The same in rows of the model; a million items take a second, so not for the event loop."""
        return self.of_items(chain([ItemId("")], model.vocabulary.item_ids))


NOT_ASKED: Final = CatalogFacts.empty(is_known=False).of_items(())
"""Of no item: for lists that nothing of the kind decides."""


class FactsSlot:
    """Holds the newest facts, and what they are in rows of the models that were asked about last.

    `of` is for the event loop; the rest may be called from threads, and is seen by `of` whole or not at all.
    """

    def __init__(self) -> None:
        # In one, so that whoever asks never has the facts of one state and the rows of another.
        self._state: tuple[CatalogFacts, dict[ModelVersion, KnownFacts]] = CatalogFacts.empty(is_known=False), {}

    @property
    def catalog(self) -> CatalogFacts | None:
        """None before the first."""
        return self.known if self.known.is_known else None

    @property
    def known(self) -> CatalogFacts:
        """The same, or what stands in before the first, and says so."""
        return self._state[0]

    def replace(self, catalog: CatalogFacts, models: Iterable[ServingModel]) -> None:
        """Makes the facts count from the next request on, worked out for these models; blocks."""
        self._state = catalog, {model.version: catalog.of_model(model) for model in models}

    def prepare(self, model: ServingModel) -> None:
        """Works out what the facts are for a model that is about to serve; blocks, in any thread."""
        self.of(model)

    def of(self, model: ServingModel) -> KnownFacts:
        """What is known of the model's items now."""
        catalog, known = self._state
        found = known.get(model.version)
        if found is None:
            found = catalog.of_model(model)
            known[model.version] = found
            for version in list(known)[:-MODELS_KEPT]:
                known.pop(version, None)
        return found


def _without_unused(words: Words, table: FactsTable) -> tuple[Words, FactsTable]:
    """The same facts without most of the words that no item has any more."""
    if len(words) <= SPARE_WORDS:
        return words, table
    used = table.used(len(words))
    if len(words) <= 2 * int(used.sum()) + SPARE_WORDS:
        return words, table
    return words.only(used), table.renumbered((np.cumsum(used) - 1).astype(np.int32))


def _digests(items: Mapping[ItemId, Facts]) -> npt.NDArray[np.uint64]:
    joined = b"".join(_digest(item_id, facts) for item_id, facts in items.items())
    return np.frombuffer(joined, dtype="<u8").reshape(-1, 2).astype(np.uint64)


def _digest(item_id: ItemId, facts: Facts) -> bytes:
    """Zeros for an item without facts, of which another replica may never have heard."""
    if facts == NO_FACTS:
        return bytes(16)
    price: Sequence[str | int] = ()
    if facts.price is not None:
        price = (facts.price.currency_code, facts.price.units, facts.price.nanos)
    said = (item_id, sorted(facts.categories), sorted(facts.attributes.items()), sorted(facts.tags), price)
    return blake2b(json.dumps(said).encode(), digest_size=16).digest()


def _fingerprint(digests: npt.NDArray[np.uint64]) -> str:
    """Their sum, so that the order in which they were heard is nothing."""
    total = digests.sum(axis=0, dtype=np.uint64)
    return total.astype("<u8").tobytes().hex() if total.any() else ""
