"""RecommendBatch on the wire: many requests in, an answer or a status for each out."""

import asyncio
from collections.abc import Callable, Sequence
from typing import Final

from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.errors import InvalidRequest, NightjarError
from services.domain.recommendations import Query, Recommendation
from services.inference.patience import Patience
from services.inference.recommend import Recommender
from services.inference.rpc import validation
from services.inference.together import recommend_each
from services.rpc.errors import domain_message

MAX_REQUESTS: Final = 256  # larger: one call takes a worker for longer than others should wait; smaller: more calls
MAX_ITEMS: Final = 10_000  # of all lists. Larger: a reply beyond the 4 MiB that clients take; smaller: as above


async def answered(
    request: wire.RecommendBatchRequest,
    query_of: Callable[[wire.RecommendRequest], Query],
    recommender: Recommender,
    response_of: Callable[[Recommendation], wire.RecommendResponse],
    patience: Patience,
) -> wire.RecommendBatchResponse:
    """The reply. Between two requests the event loop turns: a batch is long, and others wait for microseconds.

    Raises InvalidRequest for a batch beyond its limits, and ModelNotReady.
    """
    _check(request.requests)
    queries: list[Query | NightjarError] = []
    for each in request.requests:
        try:
            queries.append(query_of(each))
        except InvalidRequest as error:
            queries.append(error)
        await asyncio.sleep(0)
    version, answers = await recommend_each(recommender, queries, patience)
    reply = wire.RecommendBatchResponse(model_version=version)
    for answer in answers:
        if isinstance(answer, NightjarError):
            status = domain_message(answer)
            failed = wire.RecommendBatchError(code=status.code, message=status.message, details=status.details)
            reply.results.add(error=failed)
        else:
            reply.results.add(response=response_of(answer))
        await asyncio.sleep(0)
    return reply


def _check(requests: Sequence[wire.RecommendRequest]) -> None:
    if not 1 <= len(requests) <= MAX_REQUESTS:
        raise InvalidRequest("requests", f"has {len(requests)} requests; 1 to {MAX_REQUESTS} are allowed")
    # A k that is out of bounds is an error of that request alone.
    wanted = sum(min(each.k, validation.MAX_K) if each.HasField("k") else validation.DEFAULT_K for each in requests)
    if wanted > MAX_ITEMS:
        raise InvalidRequest("requests", f"asks for {wanted} items together; at most {MAX_ITEMS} are allowed")
