"""What the kinds without a graph compute from a history: the formulas that training measures and serving answers by.

Numpy alone, one history at a time. Both classes make the tables they are given read-only (law 2).
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self, TypeAlias

import numpy as np
import numpy.typing as npt

from services.domain.errors import BundleBroken
from services.domain.history_input import HistoryRows

Floats: TypeAlias = npt.NDArray[np.float32]
Rows: TypeAlias = npt.NDArray[np.int64]
Tables: TypeAlias = Mapping[str, npt.NDArray[Any]]
"""A bundle's tables by name, see `bundle_tables.py`."""

NUM_FOLD_IN_PARAMETERS: Final = 3


class Liked(NamedTuple):
    """The items that a history speaks for, each once, in order of item row; both (num_liked,)."""

    positions: Rows
    """Item rows less 1."""
    weights: Floats
    """Above 0: that of the strongest positive event of each."""


def liked(history: HistoryRows, type_weights: Floats) -> Liked:
    """What a history says for items: those whose newest event that takes a side is positive.

    type_weights: (num_event_types + 1,) signed, by event-type row; 0 takes no side.
    """
    weights = type_weights[history.types]  # (length,)
    sided = np.flatnonzero(weights)
    events = sided[np.argsort(history.items[sided], kind="stable")]  # item after item, oldest first within each
    if len(events) == 0:
        return Liked(np.empty(0, np.int64), np.empty(0, np.float32))
    items = history.items[events]
    starts = np.flatnonzero(np.diff(items, prepend=0))  # rows start at 1
    newest = np.append(starts[1:], len(items)) - 1
    is_liked = weights[events[newest]] > 0
    strongest: Floats = np.maximum.reduceat(weights[events], starts)
    return Liked(items[starts[is_liked]] - 1, strongest[is_liked])


class Neighbours:
    """Items scored by whose neighbours they are.

    score of j = sum, over the liked items i, of weight of i in the history * weight with which j is a neighbour of i.

    rows: (num_items, k) int32, the item rows of each item's neighbours; 0 is none, whatever its weight.
    weights: (num_items, k), may be below 0. type_weights: see `liked`.
    """

    def __init__(self, rows: npt.NDArray[np.int32], weights: Floats, type_weights: Floats) -> None:
        self._rows = rows
        self._weights = weights
        self._type_weights = type_weights
        self._has_any = ((weights != 0) & (rows > 0)).any(axis=1)
        for table in (self._rows, self._weights, self._type_weights, self._has_any):
            table.flags.writeable = False

    @classmethod
    def of(cls, tables: Tables) -> Self:
        """From a bundle's tables, which were checked."""
        return cls(*(tables[name] for name in ("neighbour_rows", "neighbour_weights", "type_weights")))

    def knows(self, history: HistoryRows) -> bool:
        """Whether any item gets a score other than 0."""
        return bool(self._has_any[liked(history, self._type_weights).positions].any())

    def scores(self, history: HistoryRows) -> Floats:
        """Scores of all items, (num_items,); 0 for an item that is nobody's neighbour."""
        positions, weights = liked(history, self._type_weights)
        said = self._weights[positions] * weights[:, np.newaxis]  # (num_liked, k)
        sums = np.bincount(self._rows[positions].ravel(), said.ravel(), minlength=len(self._rows) + 1)
        scores: Floats = sums[1:].astype(np.float32)
        return scores

    def of_item(self, item_row: int) -> tuple[Rows, Floats]:
        """An item's neighbours and their weights as they are stored, without the padding."""
        rows, weights = self._rows[item_row - 1].astype(np.int64), self._weights[item_row - 1]
        return rows[rows > 0], weights[rows > 0]


class FoldIn:
    """User vectors as the least-squares problem gives them that also made the item vectors (implicit ALS).

    With H (num_liked, dim) the vectors of the liked items and c (num_liked,) their weights, the user vector x solves

        (H' diag(c) H + unobserved gram + ridge I) x = H' c,
        ridge = regularisation (num_liked + unobserved num_items)^exponent.

    item_vectors: (num_items, dim). gram: (dim, dim), of the item vectors with themselves. type_weights: see `liked`.
    parameters: unobserved, regularisation, exponent.
    """

    def __init__(self, item_vectors: Floats, gram: Floats, parameters: Floats, type_weights: Floats) -> None:
        self._item_vectors = item_vectors
        self._unobserved, self._regularisation, self._exponent = parameters.tolist()
        self._everywhere = self._unobserved * gram.astype(np.float64)
        self._type_weights = type_weights
        for table in (self._item_vectors, self._everywhere, self._type_weights):
            table.flags.writeable = False

    @classmethod
    def of(cls, tables: Tables) -> Self:
        """From a bundle's tables, which were checked."""
        return cls(*(tables[name] for name in ("item_vectors", "gram", "fold_in", "type_weights")))

    def knows(self, history: HistoryRows) -> bool:
        """Whether the history speaks for any item."""
        return len(liked(history, self._type_weights).positions) > 0

    def encode(self, history: HistoryRows) -> Floats:
        """The user vector (dim,), finite; raises BundleBroken when the problem has no solution."""
        positions, weights = liked(history, self._type_weights)
        vectors = self._item_vectors[positions].astype(np.float64)  # (num_liked, dim)
        weighted = vectors * weights[:, np.newaxis]
        matrix = self._everywhere + weighted.T @ vectors  # (dim, dim)
        size = len(positions) + self._unobserved * len(self._item_vectors)
        matrix.flat[:: len(matrix) + 1] += self._regularisation * np.power(size, self._exponent)  # the diagonal
        try:
            user_vector: Floats = np.linalg.solve(matrix, weighted.sum(axis=0)).astype(np.float32)
        except np.linalg.LinAlgError as error:
            raise BundleBroken(f"a history of {len(positions)} liked items cannot be folded in: {error}") from error
        if not np.isfinite(user_vector).all():
            raise BundleBroken(f"a history of {len(positions)} liked items folds into numbers that are not finite")
        return user_vector
