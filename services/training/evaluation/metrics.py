"""Metrics of ranked lists, each a value a question. Knows arrays only.

A question is judged by two arrays: `relevant`, bool (num_questions, length), whether the item at each place of its list
was chosen, and `num_relevant`, int64 (num_questions,), how many were chosen in all. Sources: Järvelin & Kekäläinen,
2002 (NDCG); Manning, Raghavan & Schütze, 2008, chapter 8 (the others).
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np
import numpy.typing as npt

MISS: Final = np.iinfo(np.int64).max
"""The rank of a target that is in no list; ranks count from 0."""

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]


@dataclass(frozen=True)
class Judged:
    """Lists, judged. Every method gives float64 (num_questions,)."""

    relevant: Flags
    num_relevant: Ints
    user_rows: Ints
    """(num_questions,) whose list each is."""

    @classmethod
    def one_target_each(cls, ranks: Ints, user_rows: Ints, length: int) -> Self:
        """Each target is a question of its own, of which one item is relevant."""
        return cls(ranks[:, np.newaxis] == np.arange(length), np.ones(len(ranks), np.int64), user_rows)

    def hits(self, k: int) -> Doubles:
        """HR@k: 1 where at least one relevant item is among the first k."""
        return np.where(self._found(k).any(axis=1), 1.0, 0.0)

    def recall(self, k: int) -> Doubles:
        """The share of the relevant items that is among the first k."""
        recall: Doubles = self._found(k).sum(axis=1) / self.num_relevant
        return recall

    def precision(self, k: int) -> Doubles:
        precision: Doubles = self._found(k).sum(axis=1) / k
        return precision

    def ndcg(self, k: int) -> Doubles:
        """Gains of 1 / log2(place + 1), places from 1, over those of the best list of k there can be."""
        discounts = 1.0 / np.log2(np.arange(2, k + 2))
        ideal = np.cumsum(discounts)[np.minimum(self.num_relevant, k) - 1]
        ndcg: Doubles = self._found(k) @ discounts / ideal
        return ndcg

    def reciprocal_rank(self, k: int) -> Doubles:
        """1 over the place of the first relevant item among the first k, else 0. Its mean is MRR@k."""
        first = self._found(k)
        return np.where(first.any(axis=1), 1.0 / (first.argmax(axis=1) + 1.0), 0.0)

    def average_precision(self, k: int) -> Doubles:
        """The precision at each relevant item's place, over min(k, relevant items). Its mean is MAP@k."""
        first = self._found(k)
        precisions = np.cumsum(first, axis=1) / np.arange(1, k + 1)
        average: Doubles = (precisions * first).sum(axis=1) / np.minimum(self.num_relevant, k)
        return average

    def _found(self, k: int) -> Flags:
        if k > self.relevant.shape[1]:
            raise ValueError(f"lists of {self.relevant.shape[1]} cannot be judged at {k}")
        return self.relevant[:, :k]


def coverage(top_items: Ints, num_items: int) -> float:
    """The share of all items that appear in somebody's list; top_items: rows or indices of any shape."""
    return len(np.unique(top_items)) / num_items
