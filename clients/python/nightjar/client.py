"""RecommenderClient: the blocking client of the recommender."""

import time
from collections.abc import Iterable
from datetime import timedelta
from types import TracebackType
from typing import Any, Self

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from nightjar import calls
from nightjar.answers import PopularItems, Ranking, Recommendation, SimilarItems
from nightjar.asking import RecentEvent
from nightjar.batches import Ask, RecommendationBatch, batch_request
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from nightjar.wishes import Filter, Wishes


class RecommenderClient:
    """One connection, for any number of threads; make one a process and keep it.

    target: host:port. credentials: for TLS, from grpc.ssl_channel_credentials(); None for plain text. Every call blocks
    for at most its timeout_s and raises RecommenderError; calls that meet a restarting server are tried again within
    that time.
    """

    def __init__(self, target: str, *, credentials: grpc.ChannelCredentials | None = None) -> None:
        self._target = target
        self._channel = (
            grpc.insecure_channel(target, options=calls.CHANNEL_OPTIONS)
            if credentials is None
            else grpc.secure_channel(target, credentials, options=calls.CHANNEL_OPTIONS)
        )
        self._recommender = RecommenderServiceStub(self._channel)
        self._health: Any = health_pb2_grpc.HealthStub(self._channel)  # its type stubs lack the methods

    def recommend(
        self,
        user_id: str,
        k: int = 10,
        *,
        recent_events: Iterable[RecentEvent] = (),
        exclude_item_ids: Iterable[str] = (),
        seen: calls.Seen = "exclude_consumed",
        shown_within: timedelta | None = None,
        wishes: Wishes | None = None,
        page_token: str = "",
        explain: bool = False,
        timeout_s: float = calls.DEFAULT_TIMEOUT_S,
    ) -> Recommendation:
        """The k best items (1 to 500) for a user; popular ones, marked so, for a user nobody knows.

        user_id: empty for a visitor without a name, whose recent_events (at most 200) are then all that is known; with
        a name they count only while the user's history cannot be read. seen: what the user has met and so is left out;
        shown_within goes with "exclude_shown", None: as long as it is remembered. page_token: next_page_token of the
        page before, all else as before; reason PAGE_EXPIRED: ask for the first page again. explain: why each item.
        """
        request = calls.recommend_request(
            user_id, k, recent_events, exclude_item_ids, seen, shown_within, wishes, page_token, explain
        )
        try:
            return Recommendation.from_proto(self._recommender.Recommend(request, timeout=timeout_s))
        except grpc.RpcError as error:
            raise calls.recommender_error(error, self._target) from error

    def recommend_batch(
        self, asks: Iterable[Ask | str], *, timeout_s: float = calls.DEFAULT_TIMEOUT_S
    ) -> RecommendationBatch:
        """Lists for many users (1 to 256, at most 10,000 items together), all from one model version.

        asks: a bare user id asks for ten items. What is wrong with one of them is in the place of its answer.
        """
        request = batch_request(asks)
        try:
            reply = self._recommender.RecommendBatch(request, timeout=timeout_s)
            return RecommendationBatch.from_proto(reply, self._target)
        except grpc.RpcError as error:
            raise calls.recommender_error(error, self._target) from error

    def rank_items(
        self,
        user_id: str,
        item_ids: Iterable[str],
        *,
        recent_events: Iterable[RecentEvent] = (),
        timeout_s: float = calls.DEFAULT_TIMEOUT_S,
    ) -> Ranking:
        """How much the user may want each of these items (1 to 1,000, each once), such as the results of a search."""
        request = calls.rank_items_request(user_id, item_ids, recent_events)
        try:
            return Ranking.from_proto(self._recommender.RankItems(request, timeout=timeout_s))
        except grpc.RpcError as error:
            raise calls.recommender_error(error, self._target) from error

    def popular_items(
        self,
        k: int = 10,
        *,
        window: calls.Window = "long",
        surface: str = "",
        exclude_item_ids: Iterable[str] = (),
        filter: Filter | None = None,
        timeout_s: float = calls.DEFAULT_TIMEOUT_S,
    ) -> PopularItems:
        """The k items (1 to 500) that all users do most with now. window: "short" is what is trending, for hours."""
        request = calls.popular_items_request(k, window, surface, exclude_item_ids, filter)
        try:
            return PopularItems.from_proto(self._recommender.PopularItems(request, timeout=timeout_s))
        except grpc.RpcError as error:
            raise calls.recommender_error(error, self._target) from error

    def similar_items(
        self,
        item_id: str,
        k: int = 10,
        *,
        filter: Filter | None = None,
        timeout_s: float = calls.DEFAULT_TIMEOUT_S,
    ) -> SimilarItems:
        """The k nearest items (1 to 500); code NOT_FOUND for an item the model does not know."""
        request = calls.similar_items_request(item_id, k, filter)
        try:
            return SimilarItems.from_proto(self._recommender.SimilarItems(request, timeout=timeout_s))
        except grpc.RpcError as error:
            raise calls.recommender_error(error, self._target) from error

    def wait_until_serving(self, timeout_s: float) -> None:
        """Blocks until the server is up with a model; raises RecommenderError when it is not after timeout_s."""
        request = health_pb2.HealthCheckRequest(service=calls.SERVICE)
        deadline = time.monotonic() + timeout_s
        last = "no answer"
        while (remaining_s := deadline - time.monotonic()) > 0:
            try:
                status = self._health.Check(request, timeout=remaining_s, wait_for_ready=True).status
                if status == health_pb2.HealthCheckResponse.SERVING:
                    return
                last = health_pb2.HealthCheckResponse.ServingStatus.Name(status)
            except grpc.RpcError as error:
                last = error.code().name
            time.sleep(min(calls.POLL_S, max(0.0, deadline - time.monotonic())))
        raise calls.not_serving(self._target, timeout_s, last)

    def close(self) -> None:
        """Ends the connection and every running call."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()
