"""What the recommender answers, as small immutable objects."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Self

from nightjar.v1 import recommender_service_pb2 as pb2


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """One item of a list. score: unit-free, larger is better, comparable within one answer. rank: 1 is the best."""

    item_id: str
    score: float
    rank: int


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A user's list, best first, and where it came from.

    source: "model", or "popular" for a user the model knows nothing of and for a degraded answer. degraded_reason:
    empty unless degraded, then what failed: "feature_store_down", "model_failed", "catalog_down", or a later word.
    request_id: put it into the events that follow from it. catalog_version: changes exactly when another set of the
    model's items is hidden or outside its window; empty when none is.
    """

    items: tuple[ScoredItem, ...]
    request_id: str
    model_version: str
    history_version: str
    source: str
    degraded: bool
    degraded_reason: str
    cache_hit: bool
    catalog_version: str = ""

    @classmethod
    def from_proto(cls, response: pb2.RecommendResponse) -> Self:
        return cls(
            items=_items(response.items),
            request_id=response.request_id,
            model_version=response.model_version,
            history_version=response.history_version,
            source=_word(pb2.Source.Name, response.source, "SOURCE_"),
            degraded=response.degraded,
            degraded_reason=_word(pb2.DegradedReason.Name, response.degraded_reason, "DEGRADED_REASON_"),
            cache_hit=response.cache_hit,
            catalog_version=response.catalog_version,
        )


@dataclass(frozen=True, slots=True)
class RankedItem:
    """One item of the caller's list. score and rank as in ScoredItem; both None for an item that is not ranked.

    not_ranked_reason: then "unknown_item", "unavailable", or a later word.
    """

    item_id: str
    score: float | None
    rank: int | None
    not_ranked_reason: str = ""


@dataclass(frozen=True, slots=True)
class Ranking:
    """The caller's list in its own order, and where the scores came from; the fields as in Recommendation."""

    items: tuple[RankedItem, ...]
    request_id: str
    model_version: str
    history_version: str
    source: str
    degraded: bool
    degraded_reason: str
    catalog_version: str = ""

    @property
    def best_first(self) -> tuple[RankedItem, ...]:
        """The items that are ranked, in order of rank."""
        return tuple(sorted((each for each in self.items if each.rank), key=lambda each: each.rank or 0))

    @classmethod
    def from_proto(cls, response: pb2.RankItemsResponse) -> Self:
        return cls(
            items=tuple(_ranked(item) for item in response.items),
            request_id=response.request_id,
            model_version=response.model_version,
            history_version=response.history_version,
            source=_word(pb2.Source.Name, response.source, "SOURCE_"),
            degraded=response.degraded,
            degraded_reason=_word(pb2.DegradedReason.Name, response.degraded_reason, "DEGRADED_REASON_"),
            catalog_version=response.catalog_version,
        )


def _ranked(item: pb2.RankedItem) -> RankedItem:
    return RankedItem(
        item_id=item.item_id,
        score=item.score if item.HasField("score") else None,
        rank=item.rank or None,
        not_ranked_reason=_word(pb2.NotRankedReason.Name, item.not_ranked_reason, "NOT_RANKED_REASON_"),
    )


@dataclass(frozen=True, slots=True)
class PopularItems:
    """What is popular with all users, best first; source: "counters", or "popular" for a degraded answer."""

    items: tuple[ScoredItem, ...]
    request_id: str
    source: str
    degraded: bool
    degraded_reason: str

    @classmethod
    def from_proto(cls, response: pb2.PopularItemsResponse) -> Self:
        return cls(
            items=_items(response.items),
            request_id=response.request_id,
            source=_word(pb2.Source.Name, response.source, "SOURCE_"),
            degraded=response.degraded,
            degraded_reason=_word(pb2.DegradedReason.Name, response.degraded_reason, "DEGRADED_REASON_"),
        )


@dataclass(frozen=True, slots=True)
class SimilarItems:
    """An item's neighbours, nearest first; the score is the cosine of the two vectors."""

    items: tuple[ScoredItem, ...]
    model_version: str
    catalog_version: str = ""

    @classmethod
    def from_proto(cls, response: pb2.SimilarItemsResponse) -> Self:
        return cls(_items(response.items), response.model_version, response.catalog_version)


def _items(items: Iterable[pb2.ScoredItem]) -> tuple[ScoredItem, ...]:
    return tuple(ScoredItem(item.item_id, item.score, item.rank) for item in items)


def _word(name_of: Callable[..., str], number: int, prefix: str) -> str:
    """The enum value as a lower-case word; empty when unset, `unknown_<number>` from a server newer than this SDK."""
    if number == 0:
        return ""
    try:
        return name_of(number).removeprefix(prefix).lower()
    except ValueError:
        return f"unknown_{number}"
