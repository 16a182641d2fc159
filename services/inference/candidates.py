"""Where the items of a list come from: the model or what is popular, and items like those the user looks at."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np
import numpy.typing as npt

from services.domain.history_input import HistoryRows
from services.domain.recommendations import Source
from services.inference.excluded import Excluded, Rows, Vector
from services.inference.retrieval import best_of
from services.inference.rules import boosted
from services.inference.scorers import AllScores
from services.inference.serving_model import ServingModel

ORIGINS: Final = (Source.MODEL, Source.POPULAR, Source.COUNTERS, Source.SIMILAR, Source.RULE)
"""By their numbers in a cached list; new ones come at the end."""
Origins = npt.NDArray[np.uint8]
RANK_OFFSET: Final = 60  # the constant of Cormack et al. Larger: deep places count more; smaller: the first ones do
SIMILAR: Final = 200  # of each item looked at. Larger: more to merge; smaller: filters leave less


@dataclass(frozen=True, slots=True)
class Pool:
    """Candidates, best first; their relevance and where each comes from."""

    rows: Rows
    relevance: Vector
    origins: Origins

    @classmethod
    def of(cls, source: Source, rows: Rows, relevance: Vector) -> "Pool":
        return cls(rows, relevance, np.full(len(rows), ORIGINS.index(source), dtype=np.uint8))


class Candidates(Protocol):
    """What makes a list if nothing else is wanted of it."""

    @property
    def source(self) -> Source: ...

    def best(self, num: int, excluded: Excluded) -> tuple[Rows, Vector]:
        """At most `num`, best first, and how relevant each is. Raises BundleBroken."""
        ...

    def scores(self) -> AllScores:
        """Of all items, in the same order. Raises BundleBroken."""
        ...


@dataclass(frozen=True, slots=True)
class OfModel:
    """What the model makes of a history that it knows."""

    model: ServingModel
    history: HistoryRows
    source: Source = Source.MODEL

    def best(self, num: int, excluded: Excluded) -> tuple[Rows, Vector]:
        return self.model.scorer.best(self.history, num, excluded)

    def scores(self) -> AllScores:
        return self.model.scorer.scores(self.history)


@dataclass(frozen=True, slots=True)
class OfTraining:
    """What was popular when the model was trained."""

    model: ServingModel
    source: Source = Source.POPULAR

    def best(self, num: int, excluded: Excluded) -> tuple[Rows, Vector]:
        return self.model.index.popular(num, excluded)

    def scores(self) -> AllScores:
        return AllScores(self.model.index.popularity)


@dataclass(frozen=True, slots=True)
class OfCounters:
    """What is popular now, and then the others, which score 0, as they were popular when the model was trained.

    counted: rows, each once; sums: of their events.
    """

    model: ServingModel
    counted: Rows
    sums: Sequence[float]
    source: Source = Source.COUNTERS

    def best(self, num: int, excluded: Excluded) -> tuple[Rows, Vector]:
        return best_of(*self.scores(), num, excluded)

    def scores(self) -> AllScores:
        values = np.zeros(self.model.index.num_items, dtype=np.float32)
        values[self.counted - 1] = self.sums
        return AllScores(values, -self.model.index.popularity)


def pool_of(candidates: Candidates, num: int, excluded: Excluded, weights: Vector | None) -> Pool:
    """The best `num`. weights: of boosts, by which all items are weighed first; None: there are none."""
    if weights is None:
        return Pool.of(candidates.source, *candidates.best(num, excluded))
    values, ties = candidates.scores()
    return Pool.of(candidates.source, *best_of(boosted(values, weights), ties, num, excluded))


def like_these(model: ServingModel, rows: Rows, excluded: Excluded, weights: Vector | None) -> Rows:
    """Items like any of these, the most alike first, by the places that they have with each; weighed by boosts."""
    lists = [model.scorer.similar(row, SIMILAR, excluded)[0] for row in rows.tolist()]
    found, merged = fused(*lists)
    if weights is not None:
        merged = merged * weights[found - 1]
    return found[np.lexsort((found, -merged))]


def with_similar(pool: Pool, similar: Rows) -> Pool:
    """Both lists as one; an item in both comes from where its place is better."""
    rows, scores = fused(pool.rows, similar)
    places, similar_places = _places(pool.rows), _places(similar)
    origins = dict(zip(pool.rows.tolist(), pool.origins.tolist(), strict=True))
    of_similar, far = ORIGINS.index(Source.SIMILAR), len(pool.rows) + len(similar)
    is_similar = [similar_places.get(row, far) < places.get(row, far) for row in rows.tolist()]
    found = [of_similar if alike else origins[row] for row, alike in zip(rows.tolist(), is_similar, strict=True)]
    return Pool(rows, scores, np.array(found, dtype=np.uint8))


def fused(*lists: Rows) -> tuple[Rows, Vector]:
    """One list of several, by reciprocal rank fusion: the sum of 1 / (60 + place in each), ties by row.

    Source: Cormack, Clarke and Buettcher, SIGIR 2009.
    """
    rows, where = np.unique(np.concatenate([np.empty(0, np.int64), *lists]), return_inverse=True)
    shares = np.concatenate([np.empty(0), *(1 / (RANK_OFFSET + 1 + np.arange(len(each))) for each in lists)])
    sums = np.bincount(where, shares, minlength=len(rows)).astype(np.float32)
    order = np.lexsort((rows, -sums))
    return rows[order], sums[order]


def _places(rows: Rows) -> dict[int, int]:
    return {row: place for place, row in enumerate(rows.tolist())}
