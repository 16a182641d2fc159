"""The order in which candidates come into a list: by relevance alone, or by maximal marginal relevance.

Greedy: what comes first does not depend on how much is asked for, so that pages of one list fit together. ADR 0035.
"""

from typing import Protocol

import numpy as np

from services.inference.excluded import Rows, Vector
from services.inference.facts import KnownFacts
from services.inference.retrieval import ItemIndex


class Picker(Protocol):
    """Goes through candidates once."""

    def next(self) -> int | None:
        """The position of the candidate that comes next, which is out of the pool then; None: the pool is empty."""
        ...

    def chosen(self, row: int) -> None:
        """The item has come into the list; also one that is no candidate."""
        ...


class ByRelevance:
    """In the order that they have."""

    def __init__(self, num_candidates: int) -> None:
        self._positions = iter(range(num_candidates))

    def next(self) -> int | None:
        return next(self._positions, None)

    def chosen(self, row: int) -> None:
        """Says nothing of what comes next."""


class Likeness(Protocol):
    """How like one item the candidates are."""

    def to(self, row: int) -> Vector:
        """(num_candidates,), 1 for the same, 0 for nothing in common, below 0 for opposites."""
        ...


class Cosine:
    """Of item vectors."""

    def __init__(self, index: ItemIndex, rows: Rows) -> None:
        self._index = index
        self._directions = index.directions(rows)  # (num_candidates, dim)

    def to(self, row: int) -> Vector:
        found: Vector = self._directions @ self._index.directions(np.array([row]))[0]
        return found


class SharedCategories:
    """Jaccard's index of the categories; for models without item vectors."""

    def __init__(self, facts: KnownFacts, rows: Rows) -> None:
        self._facts = facts
        categories = [facts.categories_of(row) for row in rows.tolist()]
        self._columns = {code: place for place, code in enumerate(sorted(frozenset().union(*categories)))}
        self._has = np.zeros((len(rows), len(self._columns)), dtype=np.float32)
        for position, codes in enumerate(categories):
            self._has[position, [self._columns[code] for code in codes]] = 1
        self._sizes = self._has.sum(axis=1)

    def to(self, row: int) -> Vector:
        codes = self._facts.categories_of(row)
        shared = self._has[:, [self._columns[code] for code in sorted(codes) if code in self._columns]].sum(axis=1)
        either = self._sizes + len(codes) - shared
        found: Vector = np.divide(shared, either, out=np.zeros_like(shared), where=either > 0)
        return found


class MarginalRelevance:
    """Next comes the largest (1 - weight) * relevance - weight * likeness to the one it is most like of those chosen.

    relevance: (num_candidates,), best first; brought to 0 ... 1 here, so that the weight means the same for any model.
    Source: Carbonell and Goldstein, SIGIR 1998, whose lambda is 1 - weight.
    """

    def __init__(self, relevance: Vector, likeness: Likeness, weight: float) -> None:
        low, high = relevance.min(initial=np.inf), relevance.max(initial=-np.inf)
        spread = high - low if high > low else np.float32(1)
        self._left = ((1 - weight) * (relevance - low) / spread).astype(np.float32)
        self._likeness = likeness
        self._weight = np.float32(weight)
        self._most_like: Vector | None = None
        self._num_left = len(relevance)

    def next(self) -> int | None:
        if self._num_left == 0:
            return None
        self._num_left -= 1
        value = self._left if self._most_like is None else self._left - self._weight * self._most_like
        position = int(np.argmax(value))  # the first of equals, so the more relevant one
        self._left[position] = -np.inf
        return position

    def chosen(self, row: int) -> None:
        likeness = self._likeness.to(row)
        self._most_like = likeness if self._most_like is None else np.maximum(self._most_like, likeness)
