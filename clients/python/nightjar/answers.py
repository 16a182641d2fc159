"""What the recommender answers, as small immutable objects."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Self

from nightjar.v1 import recommender_service_pb2 as pb2


@dataclass(frozen=True, slots=True)
class Influence:
    """What one of the user's events did to the score of an item: by so much it is higher than without the event."""

    item_id: str
    event_type: str
    event_time: datetime
    change: float


@dataclass(frozen=True, slots=True)
class Explanation:
    """Why an item is in a list. influences: measured, the strongest first. rules: parts of the request, by name."""

    influences: tuple[Influence, ...]
    rules: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class ScoredItem:
    """One item of a list. score: unit-free, larger is better, comparable within one answer. rank: 1 is the best."""

    item_id: str
    score: float
    rank: int
    source: str = ""
    """Of a recommendation: "model", "popular", "counters", "similar", "rule", or a later word."""
    explanation: Explanation | None = None


@dataclass(frozen=True, slots=True)
class LeftOutItem:
    """An item that was to be included and is not; reason: "unknown_item", "unavailable", or a later word."""

    item_id: str
    reason: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A user's list, best first, and where it came from.

    source: "model", or "popular" for a user the model knows nothing of and for a degraded answer. degraded_reason:
    empty unless degraded, then what failed: "feature_store_down", "model_failed", "catalog_down", or a later word.
    request_id: put it into the events that follow from it. catalog_version: changes exactly when another set of the
    model's items is hidden or outside its window, or, where wishes ask for them, other facts are known; empty for none.
    next_page_token: of paged wishes, empty on the last page. left_out: what was to be included and is not.
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
    next_page_token: str = ""
    left_out: tuple[LeftOutItem, ...] = ()

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
            next_page_token=response.next_page_token,
            left_out=tuple(
                LeftOutItem(each.item_id, _word(pb2.NotRankedReason.Name, each.reason, "NOT_RANKED_REASON_"))
                for each in response.left_out
            ),
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
    return tuple(
        ScoredItem(
            item.item_id,
            item.score,
            item.rank,
            _word(pb2.Source.Name, item.source, "SOURCE_"),
            _explanation(item.explanation) if item.HasField("explanation") else None,
        )
        for item in items
    )


def _explanation(explanation: pb2.Explanation) -> Explanation:
    influences = (
        Influence(each.item_id, each.event_type, each.event_time.ToDatetime(UTC), each.change)
        for each in explanation.influences
    )
    return Explanation(tuple(influences), tuple(explanation.rules))


def _word(name_of: Callable[..., str], number: int, prefix: str) -> str:
    """The enum value as a lower-case word; empty when unset, `unknown_<number>` from a server newer than this SDK."""
    if number == 0:
        return ""
    try:
        return name_of(number).removeprefix(prefix).lower()
    except ValueError:
        return f"unknown_{number}"
