"""RecommenderService on the wire."""

from collections.abc import Iterable, Mapping
from typing import Any, Final, TypeVar
from uuid import uuid4

import grpc
import structlog

from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceServicer
from services.domain.counters import CounterKind
from services.domain.errors import InvalidRequest
from services.domain.event_types import EventTypes
from services.domain.ids import UserId
from services.domain.pages import Page
from services.domain.ports import Clock
from services.domain.recommendations import (
    ANYBODY,
    Degraded,
    NotRanked,
    PopularQuery,
    Query,
    Ranking,
    Recommendation,
    ScoredItem,
    Seen,
    Source,
)
from services.inference.patience import Patience
from services.inference.popular import PopularNow
from services.inference.recommend import Recommender
from services.inference.rpc import batch, validation
from services.inference.rpc.explanations import explained
from services.inference.rpc.request_history import history_of
from services.inference.rpc.wishes import filter_of, page_of, wishes_of

T = TypeVar("T")

log = structlog.get_logger(__name__)

SERVICE: Final = wire.DESCRIPTOR.services_by_name["RecommenderService"].full_name

_SOURCES: Final[Mapping[Source, wire.Source.ValueType]] = {
    Source.MODEL: wire.SOURCE_MODEL,
    Source.POPULAR: wire.SOURCE_POPULAR,
    Source.COUNTERS: wire.SOURCE_COUNTERS,
    Source.SIMILAR: wire.SOURCE_SIMILAR,
    Source.RULE: wire.SOURCE_RULE,
}
_DEGRADED_REASONS: Final[Mapping[Degraded, wire.DegradedReason.ValueType]] = {
    Degraded.NONE: wire.DEGRADED_REASON_UNSPECIFIED,
    Degraded.FEATURE_STORE_DOWN: wire.DEGRADED_REASON_FEATURE_STORE_DOWN,
    Degraded.MODEL_FAILED: wire.DEGRADED_REASON_MODEL_FAILED,
    Degraded.CATALOG_DOWN: wire.DEGRADED_REASON_CATALOG_DOWN,
    Degraded.LATE: wire.DEGRADED_REASON_LATE,
}


_SEEN: Final[Mapping[int, Seen]] = {
    wire.SEEN_POLICY_UNSPECIFIED: Seen.EXCLUDE_CONSUMED,
    wire.SEEN_POLICY_EXCLUDE_CONSUMED: Seen.EXCLUDE_CONSUMED,
    wire.SEEN_POLICY_EXCLUDE_SHOWN: Seen.EXCLUDE_SHOWN,
    wire.SEEN_POLICY_INCLUDE: Seen.INCLUDE,
}
_WINDOWS: Final[Mapping[int, CounterKind]] = {
    wire.POPULAR_WINDOW_UNSPECIFIED: CounterKind.POPULAR,
    wire.POPULAR_WINDOW_LONG: CounterKind.POPULAR,
    wire.POPULAR_WINDOW_SHORT: CounterKind.TRENDING,
}
_NOT_RANKED: Final[Mapping[NotRanked, wire.NotRankedReason.ValueType]] = {
    NotRanked.NO: wire.NOT_RANKED_REASON_UNSPECIFIED,
    NotRanked.UNKNOWN_ITEM: wire.NOT_RANKED_REASON_UNKNOWN_ITEM,
    NotRanked.UNAVAILABLE: wire.NOT_RANKED_REASON_UNAVAILABLE,
}


class RecommenderServicer(RecommenderServiceServicer):
    """Checks requests, asks the use case, and gives each list for a user a fresh request_id.

    event_types: the operator's words, for what requests say that visitors did.
    """

    def __init__(self, recommender: Recommender, popular: PopularNow, event_types: EventTypes, clock: Clock) -> None:
        self._recommender = recommender
        self._popular = popular
        self._clock = clock
        self._event_types = event_types

    async def Recommend(  # noqa: N802 - the contract's name
        self, request: wire.RecommendRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.RecommendResponse:
        """See proto/nightjar/v1/recommender_service.proto."""
        del context
        reply = _recommend_response(await self._recommender.recommend(self._query(request)))
        log.debug("recommended", request_id=reply.request_id, model_version=reply.model_version)
        return reply

    async def RecommendBatch(  # noqa: N802 - the contract's name
        self, request: wire.RecommendBatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.RecommendBatchResponse:
        """See proto/nightjar/v1/recommender_service.proto."""
        patience = Patience(context.time_remaining())
        return await batch.answered(request, self._query, self._recommender, _recommend_response, patience)

    def _query(self, request: wire.RecommendRequest) -> Query:
        """Raises InvalidRequest."""
        seen = _known(_SEEN, "seen_policy", request.seen_policy)
        excluded = validation.excluded_items(request.exclude_item_ids)
        wishes = wishes_of(request)
        page = self._page(request, seen) if wishes.is_paged else None
        return Query(
            user_id=self._user_id(request),
            k=validation.k(request.k if request.HasField("k") else None),
            brought=history_of(request.recent_events, self._event_types),
            excluded=excluded,
            seen=seen,
            shown_since_us=self._shown_since_us(request, seen, page) if request.HasField("shown_within") else 0,
            wishes=wishes,
            page=page,
            explain=request.explain,
        )

    async def RankItems(  # noqa: N802 - the contract's name
        self, request: wire.RankItemsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.RankItemsResponse:
        """See proto/nightjar/v1/recommender_service.proto."""
        del context
        query = Query(self._user_id(request), brought=history_of(request.recent_events, self._event_types))
        return _rank_items_response(await self._recommender.rank(query, validation.items_to_rank(request.item_ids)))

    async def PopularItems(  # noqa: N802 - the contract's name
        self, request: wire.PopularItemsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.PopularItemsResponse:
        """See proto/nightjar/v1/recommender_service.proto."""
        del context
        query = PopularQuery(
            kind=_known(_WINDOWS, "window", request.window),
            k=validation.k(request.k if request.HasField("k") else None),
            surface=validation.surface(request.surface) if request.surface else None,
            excluded=validation.excluded_items(request.exclude_item_ids),
            filter=filter_of(request.filter),
        )
        popular = await self._popular.best(query)
        return wire.PopularItemsResponse(
            request_id=uuid4().hex,
            items=_ranked(popular.items),
            source=_SOURCES[popular.source],
            degraded=popular.degraded is not Degraded.NONE,
            degraded_reason=_DEGRADED_REASONS[popular.degraded],
        )

    async def SimilarItems(  # noqa: N802 - the contract's name
        self, request: wire.SimilarItemsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.SimilarItemsResponse:
        """See proto/nightjar/v1/recommender_service.proto."""
        del context
        item_id = validation.item_id(request.item_id)
        k = validation.k(request.k if request.HasField("k") else None)
        similar = self._recommender.similar(item_id, k, filter_of(request.filter))
        return wire.SimilarItemsResponse(
            model_version=similar.model_version, items=_ranked(similar.items), catalog_version=similar.catalog_version
        )

    def _user_id(self, request: wire.RecommendRequest | wire.RankItemsRequest) -> UserId:
        if not request.user_id and _says_something(request):
            return ANYBODY
        return validation.user_id(request.user_id)

    def _page(self, request: wire.RecommendRequest, seen: Seen) -> Page:
        """The one that is asked for. It knows since when what is shown may be of the list itself, which goes on."""
        asked_for = page_of(request)
        if asked_for is not None:
            return asked_for
        return Page(first_asked_us=self._now_us() if seen is Seen.EXCLUDE_SHOWN else 0)

    def _shown_since_us(self, request: wire.RecommendRequest, seen: Seen, page: Page | None) -> int:
        span = request.shown_within
        span_us = span.seconds * 1_000_000 + span.nanos // 1_000
        if seen is not Seen.EXCLUDE_SHOWN:
            raise InvalidRequest("shown_within", "goes with SEEN_POLICY_EXCLUDE_SHOWN only")
        if span_us <= 0:
            raise InvalidRequest("shown_within", "must be more than 0 seconds")
        return (self._now_us() if page is None else page.first_asked_us) - span_us

    def _now_us(self) -> int:
        return int(self._clock.now().timestamp() * 1_000_000)


def _says_something(request: wire.RecommendRequest | wire.RankItemsRequest) -> bool:
    """Whether a list can be made for somebody without a name."""
    return bool(request.recent_events) or (
        isinstance(request, wire.RecommendRequest) and bool(request.context_item_ids)
    )


def _known(words: Mapping[int, T], field: str, value: int) -> T:
    if value not in words:
        raise InvalidRequest(field, f"is {value}, which this server does not know")
    return words[value]


def _rank_items_response(ranking: Ranking) -> wire.RankItemsResponse:
    return wire.RankItemsResponse(
        request_id=uuid4().hex,
        model_version=ranking.model_version,
        history_version=ranking.history_version,
        items=[
            wire.RankedItem(
                item_id=each.item_id,
                score=each.score,
                rank=each.rank or 0,
                not_ranked_reason=_NOT_RANKED[each.not_ranked],
            )
            for each in ranking.items
        ],
        source=_SOURCES[ranking.source],
        degraded=ranking.degraded is not Degraded.NONE,
        degraded_reason=_DEGRADED_REASONS[ranking.degraded],
        catalog_version=ranking.catalog_version,
    )


def _recommend_response(answer: Recommendation) -> wire.RecommendResponse:
    items = _ranked(answer.items, answer.source)
    for item, explanation in zip(items, answer.explanations, strict=False):
        item.explanation.CopyFrom(explained(explanation))
    return wire.RecommendResponse(
        request_id=uuid4().hex,
        model_version=answer.model_version,
        history_version=answer.history_version,
        items=items,
        source=_SOURCES[answer.source],
        degraded=answer.degraded is not Degraded.NONE,
        degraded_reason=_DEGRADED_REASONS[answer.degraded],
        cache_hit=answer.cache_hit,
        catalog_version=answer.catalog_version,
        next_page_token="" if answer.next_page is None else answer.next_page.token,
        left_out=[wire.LeftOutItem(item_id=each.item_id, reason=_NOT_RANKED[each.reason]) for each in answer.left_out],
    )


def _ranked(items: Iterable[ScoredItem], source: Source | None = None) -> list[wire.ScoredItem]:
    """source: of the items that have none of their own; None: it is not told."""
    of_list = wire.SOURCE_UNSPECIFIED if source is None else _SOURCES[source]
    return [
        wire.ScoredItem(
            item_id=item.item_id,
            score=item.score,
            rank=rank,
            source=of_list if item.source is None else _SOURCES[item.source],
        )
        for rank, item in enumerate(items, start=1)
    ]
