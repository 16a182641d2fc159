"""How a bundle answers, whatever its kind: a history in, the best items out. One scorer for each `bundles.Scoring`.

What a kind computes is told by `domain.bundles`; the way from scores to a list is told here.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final, NamedTuple, Protocol

import numpy as np

from services.domain.bundles import ENCODER, Manifest, Scoring, scoring_of
from services.domain.history_input import HistoryRows
from services.domain.scoring import FoldIn, Neighbours, Tables
from services.inference.encoder import Encoder
from services.inference.excluded import Excluded, Rows, Vector
from services.inference.retrieval import ItemIndex, in_order, top_k
from services.inference.stages import Stage, ended


class AllScores(NamedTuple):
    """values: (num_items,), finite. ties: (num_items,), equal values by these, the smallest first; None: by row."""

    values: Vector
    ties: Vector | None = None


class Asked(NamedTuple):
    """A list that is asked for, as `Scorer.best` takes it."""

    history: HistoryRows
    k: int
    excluded: Excluded


class Scorer(Protocol):
    """Immutable, and safe to call from several threads."""

    def knows(self, history: HistoryRows) -> bool:
        """Whether the history says something to this model; if not, its user gets the popular items."""
        ...

    def best(self, history: HistoryRows, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        """The k best items for a history that the model knows, best first: their rows and scores.

        Fewer only when fewer are left. Raises BundleBroken when the model fails on this history.
        """
        ...

    def ranked(self, history: HistoryRows, rows: Rows) -> tuple[Rows, Vector]:
        """These rows, each once, in the order and with the scores that `best` has. Raises BundleBroken as well."""
        ...

    def scores(self, history: HistoryRows) -> "AllScores":
        """The scores that `best` has, of all items. Costs a pass over all, whatever the index. Raises BundleBroken."""
        ...

    def similar(self, item_row: int, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        """At most k items that are like an item, without itself, the most alike first: their rows and how alike."""
        ...


class UserEncoder(Protocol):
    """What makes a user vector of a history."""

    def knows(self, history: HistoryRows) -> bool: ...

    def encode(self, history: HistoryRows) -> Vector:
        """The user vector (dim,), finite; raises BundleBroken."""
        ...


class PopularScorer:
    """Knows nobody: everybody gets the popular items, and no item is like another."""

    def __init__(self, index: ItemIndex) -> None:
        self._index = index

    def knows(self, history: HistoryRows) -> bool:  # noqa: ARG002 - nothing of it is read
        return False

    def best(self, history: HistoryRows, k: int, excluded: Excluded) -> tuple[Rows, Vector]:  # noqa: ARG002
        return self._index.popular(k, excluded)

    def ranked(self, history: HistoryRows, rows: Rows) -> tuple[Rows, Vector]:  # noqa: ARG002
        return self._index.ranked_by_popularity(rows)

    def scores(self, history: HistoryRows) -> AllScores:  # noqa: ARG002
        return AllScores(self._index.popularity)

    def similar(self, item_row: int, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        return self._index.similar(item_row, k, excluded)


class VectorScorer:
    """Searches the index for the items whose vectors fit the user's best."""

    def __init__(self, encoder: UserEncoder, index: ItemIndex) -> None:
        self._encoder = encoder
        self._index = index

    def knows(self, history: HistoryRows) -> bool:
        return self._encoder.knows(history)

    def best(self, history: HistoryRows, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        user_vector = self._encoder.encode(history)
        ended(Stage.ENCODE)
        found = self._index.best(user_vector, k, excluded)
        ended(Stage.CANDIDATES)
        return found

    def best_of_each(self, asked: Sequence[Asked]) -> list[tuple[Rows, Vector]]:
        histories = [each.history for each in asked]
        vectors = (
            self._encoder.encode_each(histories)
            if isinstance(self._encoder, Encoder)
            else map(self._encoder.encode, histories)
        )
        return [self._index.best(vector, each.k, each.excluded) for vector, each in zip(vectors, asked, strict=True)]

    def ranked(self, history: HistoryRows, rows: Rows) -> tuple[Rows, Vector]:
        return self._index.ranked(self._encoder.encode(history), rows)

    def scores(self, history: HistoryRows) -> AllScores:
        return AllScores(self._index.scores(self._encoder.encode(history)))

    def similar(self, item_row: int, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        return self._index.similar(item_row, k, excluded)


class NeighbourScorer:
    """Sums up what the items of the history say for others."""

    def __init__(self, neighbours: Neighbours, index: ItemIndex) -> None:
        self._neighbours = neighbours
        self._index = index

    def knows(self, history: HistoryRows) -> bool:
        return self._neighbours.knows(history)

    def best(self, history: HistoryRows, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        """See Scorer. Items of which nothing is said score 0, the popular ones first: ahead of those spoken against."""
        scores = self._neighbours.scores(history)  # (num_items,)
        ended(Stage.ENCODE)
        positions = top_k(scores, k, excluded)
        found = scores[positions]
        num_unsaid = int((found == 0).sum())
        if num_unsaid:  # a history of 100 events says something of thousands of items, so this is rare
            spoken_of = np.flatnonzero(scores) + 1
            others = np.union1d(excluded.rows, spoken_of)
            fill, _ = self._index.popular(num_unsaid, Excluded.of(others, excluded.flags, excluded.num_flagged))
            positions[found == 0] = fill - 1
        ended(Stage.CANDIDATES)
        return positions + 1, found

    def ranked(self, history: HistoryRows, rows: Rows) -> tuple[Rows, Vector]:
        scores = self._neighbours.scores(history)[rows - 1]
        return in_order(rows, scores, np.where(scores == 0, -self._index.popularity_of(rows), 0))

    def scores(self, history: HistoryRows) -> AllScores:
        scores = self._neighbours.scores(history)
        return AllScores(scores, np.where(scores == 0, -self._index.popularity, 0))

    def similar(self, item_row: int, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
        """See Scorer; by the weight of the neighbour, and none of those that the item speaks against."""
        rows, weights = self._neighbours.of_item(item_row)
        are_shown = (weights > 0) & (rows != item_row) & ~excluded.among(rows)
        rows, weights = rows[are_shown], weights[are_shown]
        order = np.lexsort((rows, -weights))[:k]
        return rows[order], weights[order]


@dataclass(frozen=True, slots=True)
class Parts:
    """What was read of a bundle, its tables checked."""

    folder: Path
    manifest: Manifest
    tables: Tables
    index: ItemIndex


def best_of_each(scorer: Scorer, asked: Sequence[Asked]) -> list[tuple[Rows, Vector]]:
    """What `best` answers to one after another, to the bit, for less of a core where an encoder works for several.

    Blocks; raises BundleBroken when the model fails on any of them.
    """
    if isinstance(scorer, VectorScorer):
        return scorer.best_of_each(asked)
    return [scorer.best(*each) for each in asked]


def make_scorer(parts: Parts) -> Scorer:
    """Raises BundleBroken for a graph that cannot be used."""
    return _MAKERS[scoring_of(parts.manifest.kind)](parts)


def _encoded(parts: Parts) -> Scorer:
    return VectorScorer(Encoder(parts.folder / ENCODER, parts.manifest.dim), parts.index)


_MAKERS: Final[Mapping[Scoring, Callable[[Parts], Scorer]]] = {
    Scoring.POPULAR: lambda parts: PopularScorer(parts.index),
    Scoring.ENCODED: _encoded,
    Scoring.FOLDED_IN: lambda parts: VectorScorer(FoldIn.of(parts.tables), parts.index),
    Scoring.NEIGHBOURS: lambda parts: NeighbourScorer(Neighbours.of(parts.tables), parts.index),
}
