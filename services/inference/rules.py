"""Rules of the caller: boosts, which weigh relevance; items that must be there; quotas of categories."""

from collections import Counter
from collections.abc import Iterator, Sequence

import numpy as np

from services.domain.ids import ItemId
from services.domain.recommendations import LeftOut, NotRanked
from services.domain.wishes import Boost, MustInclude, Quota
from services.inference.availability import Unavailable
from services.inference.excluded import Rows, Vector
from services.inference.facts import KnownFacts
from services.inference.facts_table import CATEGORY, Word
from services.inference.filters import boosted_words
from services.inference.serving_model import ServingModel


def weights(boosts: Sequence[Boost], model: ServingModel, facts: KnownFacts) -> Vector:
    """The product of the weights of each item's boosts, (num_items,); 1 without one."""
    product = np.ones(model.index.num_items, dtype=np.float32)
    for boost in boosts:
        product[boosted_rows(boost, model, facts) - 1] *= np.float32(boost.weight)
    return product


def boosted_rows(boost: Boost, model: ServingModel, facts: KnownFacts) -> Rows:
    """The rows that a boost is about, each once."""
    if boost.item_ids:
        return model.known_rows(sorted(boost.item_ids))
    return np.unique(np.concatenate([facts.rows_of(word) for word in boosted_words(boost)]))


def boosted(values: Vector, weights_of_all: Vector) -> Vector:
    """Relevance: what is better than the worst, weighed. It keeps the order of equals in weight, whatever the model."""
    relevance: Vector = (values - values.min()) * weights_of_all
    return relevance


class Required:
    """What must be in the list: by place, or at the first place that is free; what cannot is `left_out`."""

    def __init__(self, wanted: Sequence[MustInclude], model: ServingModel, unavailable: Unavailable) -> None:
        self._placed = dict[int, int]()
        self._others = list[int]()
        left_out = list[LeftOut]()
        for each in wanted:
            row = model.vocabulary.item_rows.get(each.item_id)
            if row is None or unavailable.flags[row]:
                reason = NotRanked.UNKNOWN_ITEM if row is None else NotRanked.UNAVAILABLE
                left_out.append(LeftOut(ItemId(each.item_id), reason))
            elif each.position is None:
                self._others.append(row)
            else:
                self._placed[each.position] = row
        self.left_out = tuple(left_out)

    @property
    def rows(self) -> list[int]:
        return [*self._placed.values(), *self._others]

    def at(self, position: int) -> int | None:
        """The row that comes at this place, if one must."""
        row = self._placed.pop(position, None)
        if row is None and self._others:
            row = self._others.pop(0)
        return row

    def rest(self) -> Iterator[int]:
        """Those whose place lies beyond the end of a list that came out shorter, in order."""
        yield from (self._placed[position] for position in sorted(self._placed))
        yield from self._others


class Quotas:
    """How many items of each category a list still has room for. An item counts in each of its categories."""

    def __init__(self, quotas: Sequence[Quota], facts: KnownFacts) -> None:
        self._facts = facts
        of_each = [quota.max_items for quota in quotas if not quota.category]
        self._of_each = min(of_each, default=None)
        self._most = dict[int, int]()
        for quota in quotas:
            code = facts.words.get(Word(CATEGORY, quota.category)) if quota.category else None
            if code is not None:
                self._most[code] = min(quota.max_items, self._most.get(code, quota.max_items))
        self._counts = Counter[int]()

    def have_room(self, row: int) -> bool:
        if self._of_each is None and not self._most:
            return True
        for code in self._facts.categories_of(row):
            most = self._most.get(code, self._of_each)
            if most is not None and self._counts[code] >= most:
                return False
        return True

    def count(self, row: int) -> None:
        """The item is in the list; one that must be there counts too, with or without room."""
        if self._of_each is not None or self._most:
            self._counts.update(self._facts.categories_of(row))
