"""Both recommender clients against a real gRPC server in this process: answers, errors, retries and waiting."""

import asyncio
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_status import rpc_status

from nightjar import (
    Ask,
    AsyncRecommenderClient,
    Boost,
    Explanation,
    Filter,
    Influence,
    InvalidField,
    LeftOutItem,
    MustInclude,
    Price,
    Quota,
    RecentEvent,
    Recommendation,
    RecommenderClient,
    RecommenderError,
    Wishes,
)
from nightjar.calls import SERVICE
from nightjar.v1 import item_pb2
from nightjar.v1 import recommender_service_pb2 as pb2
from nightjar.v1.recommender_service_pb2_grpc import (
    RecommenderServiceServicer,
    add_RecommenderServiceServicer_to_server,
)

ANSWER = pb2.RecommendResponse(
    request_id="r1",
    model_version="v7",
    history_version="ab",
    items=[pb2.ScoredItem(item_id="50", score=2.5, rank=1)],
    source=pb2.SOURCE_MODEL,
    degraded=True,
    degraded_reason=pb2.DEGRADED_REASON_FEATURE_STORE_DOWN,
    cache_hit=True,
)

RANKING = pb2.RankItemsResponse(
    request_id="r2",
    model_version="v7",
    items=[
        pb2.RankedItem(item_id="50", score=0.0, rank=2),
        pb2.RankedItem(item_id="51", not_ranked_reason=pb2.NOT_RANKED_REASON_UNAVAILABLE),
        pb2.RankedItem(item_id="52", score=0.5, rank=1),
    ],
    source=pb2.SOURCE_MODEL,
)


class Recommender(RecommenderServiceServicer):
    """Answers as it is told, after as many failures as it is told."""

    def __init__(self) -> None:
        self.failures: list[status_pb2.Status] = []
        self.requests: list[Any] = []

    def Recommend(self, request: pb2.RecommendRequest, context: Any) -> pb2.RecommendResponse:  # noqa: N802
        self.requests.append(request)
        if self.failures:
            context.abort_with_status(rpc_status.to_status(self.failures.pop(0)))
        return ANSWER

    def RecommendBatch(self, request: pb2.RecommendBatchRequest, context: Any) -> pb2.RecommendBatchResponse:  # noqa: N802
        self.requests.append(request)
        error = pb2.RecommendBatchError(code=3, message="k is 0")
        results = [pb2.RecommendBatchResult(response=ANSWER), pb2.RecommendBatchResult(error=error)]
        return pb2.RecommendBatchResponse(model_version="v7", results=results)

    def RankItems(self, request: pb2.RankItemsRequest, context: Any) -> pb2.RankItemsResponse:  # noqa: N802
        self.requests.append(request)
        return RANKING

    def PopularItems(self, request: pb2.PopularItemsRequest, context: Any) -> pb2.PopularItemsResponse:  # noqa: N802
        self.requests.append(request)
        items = [pb2.ScoredItem(item_id="50", score=7.5, rank=1)]
        return pb2.PopularItemsResponse(request_id="r3", items=items, source=pb2.SOURCE_COUNTERS)

    def SimilarItems(self, request: pb2.SimilarItemsRequest, context: Any) -> pb2.SimilarItemsResponse:  # noqa: N802
        self.requests.append(request)
        return pb2.SimilarItemsResponse(model_version="v7", items=[pb2.ScoredItem(item_id="51", score=0.5, rank=1)])


class Server:
    def __init__(self) -> None:
        self.recommender, self.health = Recommender(), health.HealthServicer()
        self.server = grpc.server(ThreadPoolExecutor(4))
        add_RecommenderServiceServicer_to_server(self.recommender, self.server)
        health_pb2_grpc.add_HealthServicer_to_server(self.health, self.server)
        self.target = f"127.0.0.1:{self.server.add_insecure_port('127.0.0.1:0')}"
        self.server.start()

    def set_serving(self) -> None:
        self.health.set(SERVICE, health_pb2.HealthCheckResponse.SERVING)


@pytest.fixture
def server() -> Iterator[Server]:
    running = Server()
    yield running
    running.server.stop(grace=None).wait()


Call = Callable[..., Any]


def _blocking(target: str, method: str, *args: Any, **options: Any) -> Any:
    with RecommenderClient(target) as client:
        return getattr(client, method)(*args, **options)


def _asyncio(target: str, method: str, *args: Any, **options: Any) -> Any:
    async def call() -> Any:
        async with AsyncRecommenderClient(target) as client:
            return await getattr(client, method)(*args, **options)

    return asyncio.run(call())


@pytest.fixture(params=[_blocking, _asyncio], ids=["blocking", "asyncio"])
def call(request: pytest.FixtureRequest) -> Call:
    """Calls one method of one of the two clients; both keep the same promises."""
    chosen: Call = request.param
    return chosen


def test_an_answer_comes_as_plain_words(server: Server, call: Call) -> None:
    """No protobuf reaches the caller: enums are words, lists are tuples."""
    answer = call(server.target, "recommend", "42", 3)
    assert server.recommender.requests == [pb2.RecommendRequest(user_id="42", k=3)]
    assert (answer.items[0].item_id, answer.items[0].score, answer.items[0].rank) == ("50", 2.5, 1)
    assert (answer.request_id, answer.model_version, answer.history_version) == ("r1", "v7", "ab")
    assert (answer.source, answer.degraded_reason) == ("model", "feature_store_down")
    assert answer.degraded
    assert answer.cache_hit


def test_a_batch_holds_an_answer_or_an_error_for_each_ask(server: Server, call: Call) -> None:
    batch = call(server.target, "recommend_batch", ["42", Ask("43", 3, seen="include")])
    (request,) = server.recommender.requests
    assert list(request.requests) == [
        pb2.RecommendRequest(user_id="42", k=10),
        pb2.RecommendRequest(user_id="43", k=3, seen_policy=pb2.SEEN_POLICY_INCLUDE),
    ]
    assert batch.model_version == "v7"
    assert batch.answers[0] == Recommendation.from_proto(ANSWER)
    assert (batch.answers[1].code, batch.answers[1].detail) == ("INVALID_ARGUMENT", "k is 0")
    with pytest.raises(InvalidField, match="k is 0"):
        call(server.target, "recommend_batch", [Ask("42", 0)])


def test_what_a_request_brings_and_asks_for_reaches_the_server(server: Server, call: Call) -> None:
    moment = datetime(2026, 1, 31, 12, tzinfo=UTC)
    call(
        server.target, "recommend", "", 3, recent_events=[RecentEvent("50", "view", moment), RecentEvent("51", "view")],
        exclude_item_ids=["52"], seen="exclude_shown", shown_within=timedelta(minutes=1),
    )  # fmt: skip
    (request,) = server.recommender.requests
    assert (request.user_id, request.k, list(request.exclude_item_ids)) == ("", 3, ["52"])
    assert [event.item_id for event in request.recent_events] == ["50", "51"]
    assert request.recent_events[0].event_time.ToDatetime(UTC) == moment
    assert not request.recent_events[1].HasField("event_time")
    assert (request.seen_policy, request.shown_within.seconds) == (pb2.SEEN_POLICY_EXCLUDE_SHOWN, 60)


def test_a_ranking_keeps_the_callers_order_and_gives_its_own(server: Server, call: Call) -> None:
    ranking = call(server.target, "rank_items", "42", ["50", "51", "52"])
    assert server.recommender.requests == [pb2.RankItemsRequest(user_id="42", item_ids=["50", "51", "52"])]
    found = [(each.item_id, each.score, each.rank, each.not_ranked_reason) for each in ranking.items]
    assert found == [("50", 0.0, 2, ""), ("51", None, None, "unavailable"), ("52", 0.5, 1, "")]
    assert [each.item_id for each in ranking.best_first] == ["52", "50"]
    assert (ranking.request_id, ranking.source) == ("r2", "model")


@pytest.mark.parametrize(
    ("options", "field"),
    [
        ({}, "user_id"),
        ({"recent_events": [RecentEvent("", "view")]}, "item_id"),
        ({"recent_events": [RecentEvent("50", "view")], "seen": "never"}, "seen"),
    ],
)
def test_what_the_server_would_refuse_is_not_sent(
    server: Server, call: Call, options: dict[str, Any], field: str
) -> None:
    with pytest.raises(InvalidField) as raised:
        call(server.target, "recommend", "", **options)
    assert raised.value.field == field
    assert server.recommender.requests == []


def test_popular_items_are_of_a_window_and_a_surface(server: Server, call: Call) -> None:
    answer = call(server.target, "popular_items", 3, window="short", surface="home", exclude_item_ids=["51"])
    (request,) = server.recommender.requests
    assert (request.window, request.k, request.surface) == (pb2.POPULAR_WINDOW_SHORT, 3, "home")
    assert list(request.exclude_item_ids) == ["51"]
    assert (answer.items[0].item_id, answer.source, answer.degraded, answer.request_id) == (
        "50",
        "counters",
        False,
        "r3",
    )
    with pytest.raises(InvalidField, match="window"):
        call(server.target, "popular_items", window="hourly")


def test_similar_items_come_with_their_model(server: Server, call: Call) -> None:
    answer = call(server.target, "similar_items", "50", 3)
    assert (answer.model_version, answer.items[0].item_id) == ("v7", "51")


def test_a_call_that_met_a_restart_is_tried_again(server: Server, call: Call) -> None:
    """A worker that goes away for a moment is no failure of the caller's."""
    gone = status_pb2.Status(code=grpc.StatusCode.UNAVAILABLE.value[0], message="restarting")
    server.recommender.failures = [gone, gone]
    assert call(server.target, "recommend", "42", timeout_s=10.0).model_version == "v7"
    assert len(server.recommender.requests) == 3


def test_an_error_names_code_reason_and_field(server: Server, call: Call) -> None:
    """What the server says about a bad request reaches the caller in parts, not only as a sentence."""
    status = status_pb2.Status(code=grpc.StatusCode.INVALID_ARGUMENT.value[0], message="k is 900")
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason="INVALID_REQUEST"))
    violation = error_details_pb2.BadRequest.FieldViolation(field="k")
    status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    server.recommender.failures = [status]
    with pytest.raises(RecommenderError, match="k is 900") as failed:
        call(server.target, "recommend", "42")
    assert (failed.value.code, failed.value.reason, failed.value.field) == ("INVALID_ARGUMENT", "INVALID_REQUEST", "k")
    assert not failed.value.retryable
    assert len(server.recommender.requests) == 1, "what is wrong stays wrong: no retry"


def test_nobody_there_is_a_retryable_error(call: Call) -> None:
    with pytest.raises(RecommenderError) as failed:
        call("127.0.0.1:1", "recommend", "42", timeout_s=1.0)
    assert failed.value.retryable
    assert failed.value.reason == ""


@pytest.mark.parametrize(("user_id", "k", "field"), [("", 10, "user_id"), ("42", 0, "k"), ("42", 501, "k")])
def test_a_bad_argument_needs_no_server(call: Call, user_id: str, k: int, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        call("127.0.0.1:1", "recommend", user_id, k)
    assert refused.value.field == field


def test_waiting_ends_when_serving_begins(server: Server, call: Call) -> None:
    server.set_serving()
    call(server.target, "wait_until_serving", 10.0)


def test_waiting_in_vain_says_what_was_seen(server: Server, call: Call) -> None:
    """A server that is up but has no model is told apart from no server at all."""
    server.health.set(SERVICE, health_pb2.HealthCheckResponse.NOT_SERVING)
    with pytest.raises(RecommenderError, match=r"after 0\.2 s \(last seen: NOT_SERVING\)"):
        call(server.target, "wait_until_serving", 0.2)


def test_words_of_a_newer_server_are_passed_on() -> None:
    """An SDK older than its server still answers."""
    assert Recommendation.from_proto(pb2.RecommendResponse(source=99)).source == "unknown_99"  # type: ignore[arg-type]


WISHES = Wishes(
    filter=Filter(
        any_categories=["art"],
        all_categories=["books"],
        no_categories=["cars"],
        attributes={"brand": ["acme", "best"]},
        min_price=Price.of("1.5", "EUR"),
        max_price=Price("EUR", 9),
    ),
    boosts=[
        Boost(2.0, category="art"),
        Boost(0.5, item_ids=["1", "2"]),
        Boost(3.0, attribute="brand", values=["acme"]),
    ],
    must_include=[MustInclude("9", position=2), MustInclude("8")],
    quotas=[Quota(3), Quota(0, "cars")],
    diversity=0.25,
    context_item_ids=["7"],
    surface="home",
    paged=True,
)


def test_wishes_are_sent_in_the_contracts_words(server: Server, call: Call) -> None:
    call(server.target, "recommend", "", wishes=WISHES, page_token="t1", explain=True)
    (request,) = server.recommender.requests
    brands = pb2.AttributeFilter(name="brand", values=["acme", "best"])
    assert request == pb2.RecommendRequest(
        k=10,
        filter=pb2.Filter(
            any_categories=["art"],
            all_categories=["books"],
            no_categories=["cars"],
            attributes=[brands],
            min_price=item_pb2.Price(currency_code="EUR", units=1, nanos=500_000_000),
            max_price=item_pb2.Price(currency_code="EUR", units=9),
        ),
        boosts=[
            pb2.Boost(weight=2.0, category="art"),
            pb2.Boost(weight=0.5, items=pb2.ItemIds(item_ids=["1", "2"])),
            pb2.Boost(weight=3.0, attribute=pb2.AttributeFilter(name="brand", values=["acme"])),
        ],
        must_include=[pb2.MustInclude(item_id="9", position=2), pb2.MustInclude(item_id="8")],
        quotas=[pb2.CategoryQuota(max_items=3), pb2.CategoryQuota(category="cars", max_items=0)],
        diversity=0.25,
        context_item_ids=["7"],
        surface="home",
        paged=True,
        page_token="t1",
        explain=True,
    )


def test_popular_and_similar_items_can_be_filtered(server: Server, call: Call) -> None:
    call(server.target, "popular_items", filter=Filter(any_categories=["art"]))
    call(server.target, "similar_items", "50", filter=Filter(no_categories=["art"]))
    popular, similar = server.recommender.requests
    assert (list(popular.filter.any_categories), list(similar.filter.no_categories)) == (["art"], ["art"])


@pytest.mark.parametrize("boost", [Boost(1.0), Boost(1.0, item_ids=["1"], category="art")])
def test_a_boost_of_nothing_or_of_two_things_is_a_mistake(server: Server, call: Call, boost: Boost) -> None:
    with pytest.raises(InvalidField):
        call(server.target, "recommend", "42", wishes=Wishes(boosts=[boost]))


def test_reasons_and_pages_are_plain_objects() -> None:
    response = pb2.RecommendResponse(
        items=[
            pb2.ScoredItem(
                item_id="50",
                score=2.5,
                rank=1,
                source=pb2.SOURCE_SIMILAR,
                explanation=pb2.Explanation(
                    influences=[
                        pb2.Influence(item_id="7", event_type="view", event_time=Timestamp(seconds=60), change=0.5)
                    ],
                    rules=["filter"],
                ),
            ),
            pb2.ScoredItem(item_id="51", rank=2, source=pb2.SOURCE_RULE),
        ],
        next_page_token="t2",
        left_out=[pb2.LeftOutItem(item_id="9", reason=pb2.NOT_RANKED_REASON_UNKNOWN_ITEM)],
    )
    answer = Recommendation.from_proto(response)
    influence = Influence("7", "view", datetime(1970, 1, 1, 0, 1, tzinfo=UTC), 0.5)
    assert answer.items[0].explanation == Explanation((influence,), ("filter",))
    assert [(item.source, item.explanation is None) for item in answer.items] == [("similar", False), ("rule", True)]
    assert (answer.next_page_token, answer.left_out) == ("t2", (LeftOutItem("9", "unknown_item"),))
