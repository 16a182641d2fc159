"""Many users in one call: what is asked for each, and what became of it."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import timedelta
from typing import Self

import grpc

from nightjar import calls
from nightjar.answers import Recommendation
from nightjar.asking import RecentEvent
from nightjar.errors import RecommenderError
from nightjar.v1 import recommender_service_pb2 as pb2
from nightjar.wishes import Wishes


@dataclass(frozen=True, slots=True)
class Ask:
    """What `recommend` is asked for one user, for `recommend_batch`; the fields are its arguments."""

    user_id: str
    k: int = 10
    recent_events: Iterable[RecentEvent] = ()
    exclude_item_ids: Iterable[str] = ()
    seen: calls.Seen = "exclude_consumed"
    shown_within: timedelta | None = None
    wishes: Wishes | None = None
    page_token: str = ""
    explain: bool = False

    def to_proto(self) -> pb2.RecommendRequest:
        """Raises InvalidField."""
        return calls.recommend_request(
            self.user_id,
            self.k,
            self.recent_events,
            self.exclude_item_ids,
            self.seen,
            self.shown_within,
            self.wishes,
            self.page_token,
            self.explain,
        )


@dataclass(frozen=True, slots=True)
class RecommendationBatch:
    """The lists of many users, all made by one model.

    answers: in the order in which was asked; an error in the place of a list that could not be made.
    """

    model_version: str
    answers: tuple[Recommendation | RecommenderError, ...]

    @classmethod
    def from_proto(cls, response: pb2.RecommendBatchResponse, target: str) -> Self:
        return cls(response.model_version, tuple(_answer(result, target) for result in response.results))


def batch_request(asks: Iterable[Ask | str]) -> pb2.RecommendBatchRequest:
    """A bare user id asks for ten items. Raises InvalidField."""
    wanted = (Ask(each) if isinstance(each, str) else each for each in asks)
    return pb2.RecommendBatchRequest(requests=[each.to_proto() for each in wanted])


def _answer(result: pb2.RecommendBatchResult, target: str) -> Recommendation | RecommenderError:
    if result.HasField("response"):
        return Recommendation.from_proto(result.response)
    reason, field = calls.reason_and_field(result.error.SerializeToString())  # the bytes are those of a Status
    code = _CODE_NAMES.get(result.error.code, grpc.StatusCode.UNKNOWN.name)
    return RecommenderError(code, result.error.message, target=target, reason=reason, field=field)


_CODE_NAMES = {code.value[0]: code.name for code in grpc.StatusCode}
