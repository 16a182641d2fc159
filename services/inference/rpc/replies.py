"""Answers in the words of the wire."""

from collections.abc import Iterable, Mapping
from typing import Final
from uuid import uuid4
from weakref import ref

from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.recommendations import Degraded, NotRanked, Ranking, Recommendation, ScoredItem, Source
from services.inference.rpc.explanations import explained

_ID_FIELD: Final = wire.RecommendResponse(request_id="0" * 32).SerializeToString()[:-32]
"""What stands before a request id of 32 letters."""

SOURCES: Final[Mapping[Source, wire.Source.ValueType]] = {
    Source.MODEL: wire.SOURCE_MODEL,
    Source.POPULAR: wire.SOURCE_POPULAR,
    Source.COUNTERS: wire.SOURCE_COUNTERS,
    Source.SIMILAR: wire.SOURCE_SIMILAR,
    Source.RULE: wire.SOURCE_RULE,
}
DEGRADED_REASONS: Final[Mapping[Degraded, wire.DegradedReason.ValueType]] = {
    Degraded.NONE: wire.DEGRADED_REASON_UNSPECIFIED,
    Degraded.FEATURE_STORE_DOWN: wire.DEGRADED_REASON_FEATURE_STORE_DOWN,
    Degraded.MODEL_FAILED: wire.DEGRADED_REASON_MODEL_FAILED,
    Degraded.CATALOG_DOWN: wire.DEGRADED_REASON_CATALOG_DOWN,
    Degraded.LATE: wire.DEGRADED_REASON_LATE,
}
_NOT_RANKED: Final[Mapping[NotRanked, wire.NotRankedReason.ValueType]] = {
    NotRanked.NO: wire.NOT_RANKED_REASON_UNSPECIFIED,
    NotRanked.UNKNOWN_ITEM: wire.NOT_RANKED_REASON_UNKNOWN_ITEM,
    NotRanked.UNAVAILABLE: wire.NOT_RANKED_REASON_UNAVAILABLE,
}


class Replies:
    """Makes replies; one that was made of the same answer before takes a request id of its own and nothing else."""

    def __init__(self) -> None:
        self._made: dict[int, tuple[ref[Recommendation], bytes]] = {}
        """By the identity of the answer, for as long as somebody keeps it."""

    @property
    def num_kept(self) -> int:
        return len(self._made)

    def recommend_response(self, answer: Recommendation) -> wire.RecommendResponse | bytes:
        """The message, or its bytes: whatever is appended to a message's bytes is merged into it."""
        if not answer.cache_hit:
            return recommend_response(answer)
        number = id(answer)
        known = self._made.get(number)
        if known is None:
            message = recommend_response(answer)
            message.ClearField("request_id")
            is_kept = ref(answer, lambda _: self._made.pop(number, None))
            known = self._made[number] = is_kept, message.SerializeToString()
        return known[1] + _ID_FIELD + uuid4().hex.encode()


def rank_items_response(ranking: Ranking) -> wire.RankItemsResponse:
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
        source=SOURCES[ranking.source],
        degraded=ranking.degraded is not Degraded.NONE,
        degraded_reason=DEGRADED_REASONS[ranking.degraded],
        catalog_version=ranking.catalog_version,
    )


def recommend_response(answer: Recommendation) -> wire.RecommendResponse:
    reply = wire.RecommendResponse(
        request_id=uuid4().hex,
        model_version=answer.model_version,
        history_version=answer.history_version,
        items=scored_items(answer.items),
        source=SOURCES[answer.source],
        degraded=answer.degraded is not Degraded.NONE,
        degraded_reason=DEGRADED_REASONS[answer.degraded],
        cache_hit=answer.cache_hit,
        catalog_version=answer.catalog_version,
    )
    if answer.tells_more:  # few do, and the others are to cost nothing here
        _tell_more(reply, answer)
    return reply


def _tell_more(reply: wire.RecommendResponse, answer: Recommendation) -> None:
    """What comes of wishes, and why each item is there."""
    for message, item in zip(reply.items, answer.items, strict=True):
        message.source = wire.SOURCE_UNSPECIFIED if item.source is None else SOURCES[item.source]
    for message, explanation in zip(reply.items, answer.explanations, strict=False):
        message.explanation.CopyFrom(explained(explanation))
    for each in answer.left_out:
        reply.left_out.add(item_id=each.item_id, reason=_NOT_RANKED[each.reason])
    if answer.next_page is not None:
        reply.next_page_token = answer.next_page.token


def scored_items(items: Iterable[ScoredItem]) -> list[wire.ScoredItem]:
    return [
        wire.ScoredItem(item_id=item.item_id, score=item.score, rank=rank) for rank, item in enumerate(items, start=1)
    ]
