"""RecommenderService on the wire."""

from collections.abc import Iterable, Mapping
from typing import Any, Final
from uuid import uuid4

import grpc
import structlog

from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceServicer
from services.domain.recommendations import Degraded, Recommendation, ScoredItem, Source
from services.inference.recommend import Recommender
from services.inference.rpc import validation

log = structlog.get_logger(__name__)

SERVICE: Final = wire.DESCRIPTOR.services_by_name["RecommenderService"].full_name

_SOURCES: Final[Mapping[Source, wire.Source.ValueType]] = {
    Source.MODEL: wire.SOURCE_MODEL,
    Source.POPULAR: wire.SOURCE_POPULAR,
}
_DEGRADED_REASONS: Final[Mapping[Degraded, wire.DegradedReason.ValueType]] = {
    Degraded.NONE: wire.DEGRADED_REASON_UNSPECIFIED,
    Degraded.FEATURE_STORE_DOWN: wire.DEGRADED_REASON_FEATURE_STORE_DOWN,
    Degraded.MODEL_FAILED: wire.DEGRADED_REASON_MODEL_FAILED,
    Degraded.CATALOG_DOWN: wire.DEGRADED_REASON_CATALOG_DOWN,
}


class RecommenderServicer(RecommenderServiceServicer):
    """Checks requests, asks the use case, and gives each list of Recommend a fresh request_id."""

    def __init__(self, recommender: Recommender) -> None:
        self._recommender = recommender

    async def Recommend(  # noqa: N802 - the contract's name
        self, request: wire.RecommendRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.RecommendResponse:
        """See proto/nightjar/v1/recommender_service.proto."""
        del context
        user_id = validation.user_id(request.user_id)
        k = validation.k(request.k if request.HasField("k") else None)
        reply = _recommend_response(await self._recommender.recommend(user_id, k))
        log.debug("recommended", request_id=reply.request_id, model_version=reply.model_version)
        return reply

    async def SimilarItems(  # noqa: N802 - the contract's name
        self, request: wire.SimilarItemsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.SimilarItemsResponse:
        """See proto/nightjar/v1/recommender_service.proto."""
        del context
        item_id = validation.item_id(request.item_id)
        k = validation.k(request.k if request.HasField("k") else None)
        similar = self._recommender.similar(item_id, k)
        return wire.SimilarItemsResponse(
            model_version=similar.model_version, items=_ranked(similar.items), catalog_version=similar.catalog_version
        )


def _recommend_response(answer: Recommendation) -> wire.RecommendResponse:
    return wire.RecommendResponse(
        request_id=uuid4().hex,
        model_version=answer.model_version,
        history_version=answer.history_version,
        items=_ranked(answer.items),
        source=_SOURCES[answer.source],
        degraded=answer.degraded is not Degraded.NONE,
        degraded_reason=_DEGRADED_REASONS[answer.degraded],
        cache_hit=answer.cache_hit,
        catalog_version=answer.catalog_version,
    )


def _ranked(items: Iterable[ScoredItem]) -> list[wire.ScoredItem]:
    return [
        wire.ScoredItem(item_id=item.item_id, score=item.score, rank=rank) for rank, item in enumerate(items, start=1)
    ]
