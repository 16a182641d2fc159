"""RecommendBatch on a real gRPC server: a reply or a status for each request, all from one model."""

from collections.abc import AsyncIterator
from pathlib import Path

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from nightjar import Ask, AsyncRecommenderClient, Recommendation, RecommenderError
from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.ids import UserId
from services.inference.rpc.engines import Engine
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_bench import ServingBench, serving

NUM_USERS = 20


@pytest.fixture
async def bench(tmp_path: Path, engine: Engine) -> AsyncIterator[ServingBench]:
    """v1 is live, and every user of `users()` has a history."""
    async with serving(tmp_path, engine) as bench:
        bench.publish("v1", item_vectors(1))
        await bench.promote("v1")
        for number, user in enumerate(users()):
            items = [f"item-{1 + (number + step) % 6}" for step in range(1 + number % 4)]
            bench.histories.histories[UserId(user)] = history_of(*items, version=f"h{number}")
        yield bench


def users() -> list[str]:
    return [f"user-{number}" for number in range(NUM_USERS)]


def without_id(reply: wire.RecommendResponse) -> wire.RecommendResponse:
    copy = wire.RecommendResponse()
    copy.CopyFrom(reply)
    copy.ClearField("request_id")
    copy.ClearField("cache_hit")
    return copy


async def test_each_request_is_answered_as_a_call_of_its_own(bench: ServingBench) -> None:
    requests = [
        wire.RecommendRequest(
            user_id=user, k=1 + number % 5, diversity=0.5 * (number % 2), paged=number % 3 == 0, explain=number % 7 == 0
        )
        for number, user in enumerate(users())
    ]
    batch = await bench.recommendations.RecommendBatch(wire.RecommendBatchRequest(requests=requests))
    alone = [await bench.recommendations.Recommend(request) for request in requests]
    assert batch.model_version == "v1"
    assert [without_id(result.response) for result in batch.results] == [without_id(reply) for reply in alone]
    assert len({result.response.request_id for result in batch.results}) == NUM_USERS


async def test_a_bad_request_has_a_status_of_its_own_and_harms_no_other(bench: ServingBench) -> None:
    requests = [wire.RecommendRequest(user_id="user-1"), wire.RecommendRequest(user_id="user-2", k=501)]
    batch = await bench.recommendations.RecommendBatch(wire.RecommendBatchRequest(requests=requests))
    good, bad = batch.results
    assert [item.rank for item in good.response.items] == [1, 2, 3, 4, 5, 6]
    status = status_pb2.Status.FromString(bad.error.SerializeToString())
    info, request = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
    assert status.details[0].Unpack(info)
    assert status.details[1].Unpack(request)
    assert (status.code, info.reason) == (grpc.StatusCode.INVALID_ARGUMENT.value[0], "INVALID_REQUEST")
    assert [violation.field for violation in request.field_violations] == ["k"]


@pytest.mark.parametrize("requests", [[], [wire.RecommendRequest(user_id="a")] * 257])
async def test_too_many_requests_or_none_fail_the_call(
    bench: ServingBench, requests: list[wire.RecommendRequest]
) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.recommendations.RecommendBatch(wire.RecommendBatchRequest(requests=requests))
    assert raised.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert (raised.value.details() or "").startswith("requests has ")


async def test_lists_that_are_too_long_together_fail_the_call(bench: ServingBench) -> None:
    def requests(num: int) -> wire.RecommendBatchRequest:
        return wire.RecommendBatchRequest(requests=[wire.RecommendRequest(user_id="user-1", k=500)] * num)

    assert len((await bench.recommendations.RecommendBatch(requests(20))).results) == 20
    with pytest.raises(grpc.aio.AioRpcError) as raised:
        await bench.recommendations.RecommendBatch(requests(21))
    assert raised.value.details() == "requests asks for 10500 items together; at most 10000 are allowed"


async def test_the_client_gives_lists_and_errors_in_the_order_of_the_asks(bench: ServingBench, engine: Engine) -> None:
    async with AsyncRecommenderClient(bench.address) as client:
        batch = await client.recommend_batch(["user-3", Ask("user-4", 2), Ask("user-5", exclude_item_ids=[""])])
    first, second, third = batch.answers
    assert batch.model_version == "v1"
    assert isinstance(first, Recommendation)
    assert isinstance(second, Recommendation)
    assert (len(first.items), len(second.items)) == (6, 2)
    assert isinstance(third, RecommenderError)
    assert (third.code, third.reason, third.field) == ("INVALID_ARGUMENT", "INVALID_REQUEST", "exclude_item_ids[0]")
