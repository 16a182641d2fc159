"""Exact retrieval: the k best of all items by score, ties broken by item row so that answers repeat (law 2)."""

from typing import Any

import numpy as np
import numpy.typing as npt

from services.domain.errors import BundleBroken
from services.inference.excluded import NO_ROWS, Excluded, Rows, Vector


def top_k(scores: Vector, k: int, excluded: Excluded) -> Rows:
    """The positions (row - 1) of the k largest scores of items that are not excluded, best first.

    Equal scores in order of position. scores: (num_items,) finite. Fewer than k when fewer are left.
    """
    k = min(k, len(scores) - len(excluded))
    if k <= 0:
        return NO_ROWS
    eligible = scores.copy()
    excluded.hide(eligible)
    kth_best = np.partition(eligible, -k)[-k]
    # Not argpartition: among scores equal to the k-th best it picks some, which ones is not defined.
    candidates = np.flatnonzero(eligible >= kth_best)
    return candidates[np.argsort(-eligible[candidates], kind="stable")[:k]]


def in_order(rows: Rows, scores: Vector, *ties: Vector) -> tuple[Rows, Vector]:
    """Rows and their scores, best first; equal scores by `ties`, the smallest first, and then by row."""
    keys: list[npt.NDArray[Any]] = [rows, *reversed(ties), -scores]  # the last one counts first
    order = np.lexsort(keys)
    return rows[order], scores[order]


def best_of(scores: Vector, ties: Vector | None, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
    """The rows of the k largest scores, and these; equal ones by `ties`, the smallest first, and then by row."""
    k = min(k, len(scores) - len(excluded))
    if k <= 0:
        return NO_ROWS, np.empty(0, dtype=np.float32)
    eligible = scores.copy()
    excluded.hide(eligible)
    candidates = np.flatnonzero(eligible >= np.partition(eligible, -k)[-k])
    rows, found = in_order(candidates + 1, scores[candidates], *(() if ties is None else (ties[candidates],)))
    return rows[:k], found[:k]


class ItemIndex:
    """The items of one model, searched by brute force. It speaks in item rows, which start at 1. Immutable.

    vectors: (num_items, dim) float32; dim 0 for a model without item vectors. popularity: (num_items,) float32.
    Raises BundleBroken when the shapes differ or a number is not finite.
    """

    def __init__(self, vectors: Vector, popularity: Vector) -> None:
        if vectors.ndim != 2 or popularity.shape != vectors.shape[:1]:
            raise BundleBroken(f"item vectors {vectors.shape} and popularity {popularity.shape} do not fit together")
        if not (np.isfinite(vectors).all() and np.isfinite(popularity).all()):
            raise BundleBroken("item vectors or popularity hold a number that is not finite")
        self._vectors = vectors
        self._popularity = popularity
        self._by_popularity = np.argsort(-popularity, kind="stable")
        norms = np.linalg.norm(vectors, axis=1)
        # A zero vector has no direction: its cosine with anything counts as 0.
        self._inverse_norms = np.divide(1.0, norms, out=np.zeros_like(norms), where=norms > 0)
        for table in (self._vectors, self._popularity, self._by_popularity, self._inverse_norms):
            table.flags.writeable = False

    @property
    def num_items(self) -> int:
        return len(self._popularity)

    @property
    def dim(self) -> int:
        return int(self._vectors.shape[1])

    def best(self, user_vector: Vector, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        """The k items with the largest inner product with the user's vector (dim,): their rows and scores."""
        scores = self._vectors @ user_vector
        positions = top_k(scores, k, excluded)
        return positions + 1, scores[positions]

    def scores(self, user_vector: Vector) -> Vector:
        """The inner products of all items with the user's vector, (num_items,), to the same bit as in `best`."""
        return self._vectors @ user_vector

    def directions(self, rows: Rows) -> Vector:
        """The vectors of these items, (len(rows), dim), each of length 1, or 0 where it has no direction."""
        directions: Vector = self._vectors[rows - 1] * self._inverse_norms[rows - 1, np.newaxis]
        return directions

    def ranked(self, user_vector: Vector, rows: Rows) -> tuple[Rows, Vector]:
        """These rows in the order that `best` has, and their scores, to the same bit: so all are worked out."""
        return in_order(rows, (self._vectors @ user_vector)[rows - 1])

    def ranked_by_popularity(self, rows: Rows) -> tuple[Rows, Vector]:
        """These rows in the order that `popular` has, and their popularity."""
        return in_order(rows, self.popularity_of(rows))

    @property
    def popularity(self) -> Vector:
        """Of all items, (num_items,)."""
        return self._popularity

    def popularity_of(self, rows: Rows) -> Vector:
        return self._popularity[rows - 1]

    def popular(self, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        """The k items most popular in the training data: their rows and popularity."""
        # However many of the first k + len(excluded) are excluded, k others are among them.
        head = self._by_popularity[: k + len(excluded)]
        positions = head[~excluded.among(head + 1)][:k]
        return positions + 1, self._popularity[positions]

    def similar(self, item_row: int, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        """The k items nearest to an item by cosine, without itself; none for a model without item vectors."""
        if self.dim == 0:
            return NO_ROWS, np.empty(0, dtype=np.float32)
        position = item_row - 1
        unit_vector = self._vectors[position] * self._inverse_norms[position]
        cosines = np.clip((self._vectors @ unit_vector) * self._inverse_norms, -1.0, 1.0)
        positions = top_k(cosines, k, excluded.and_row(item_row))
        return positions + 1, cosines[positions]
