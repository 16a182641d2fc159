"""RecommenderService on the wire."""

from collections.abc import Mapping
from typing import Any, Final, TypeVar
from uuid import uuid4

import grpc

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
    PopularQuery,
    Query,
    Seen,
)
from services.inference.patience import Patience
from services.inference.popular import PopularNow
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.rpc import batch, validation
from services.inference.rpc.replies import (
    DEGRADED_REASONS,
    SOURCES,
    Replies,
    rank_items_response,
    recommend_response,
    scored_items,
)
from services.inference.rpc.request_history import history_of
from services.inference.rpc.wishes import filter_of, page_of, wishes_of
from services.inference.stages import Stage, ended, listen

T = TypeVar("T")

SERVICE: Final = wire.DESCRIPTOR.services_by_name["RecommenderService"].full_name

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


class RecommenderServicer(RecommenderServiceServicer):
    """Checks requests, asks the use case, and gives each list for a user a fresh request_id.

    event_types: the operator's words, for what requests say that visitors did.
    """

    def __init__(
        self,
        recommender: Recommender,
        popular: PopularNow,
        event_types: EventTypes,
        clock: Clock,
        recorder: Recorder,
    ) -> None:
        self._recommender = recommender
        self._recorder = recorder
        self._replies = Replies()
        self._popular = popular
        self._clock = clock
        self._event_types = event_types

    async def Recommend(  # type: ignore[override] # noqa: N802 - see CallGuard; the contract's name
        self, request: wire.RecommendRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.RecommendResponse | bytes:
        """See proto/nightjar/v1/recommender_service.proto. What was said before is said in the same bytes."""
        stages = listen()
        answer = await self._recommender.recommend(self._query(request), Patience(context.time_remaining()))
        reply = self._replies.recommend_response(answer)
        ended(Stage.REPLY)
        self._recorder.stages(stages)
        if request.report_timing:
            context.set_trailing_metadata((("server-timing", stages.told()),))
        return reply

    async def RecommendBatch(  # noqa: N802 - the contract's name
        self, request: wire.RecommendBatchRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.RecommendBatchResponse:
        """See proto/nightjar/v1/recommender_service.proto."""
        patience = Patience(context.time_remaining())
        return await batch.answered(request, self._query, self._recommender, recommend_response, patience)

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
        query = Query(self._user_id(request), brought=history_of(request.recent_events, self._event_types))
        item_ids = validation.items_to_rank(request.item_ids)
        ranking = await self._recommender.rank(query, item_ids, Patience(context.time_remaining()))
        return rank_items_response(ranking)

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
            items=scored_items(popular.items),
            source=SOURCES[popular.source],
            degraded=popular.degraded is not Degraded.NONE,
            degraded_reason=DEGRADED_REASONS[popular.degraded],
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
            model_version=similar.model_version,
            items=scored_items(similar.items),
            catalog_version=similar.catalog_version,
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
