"""Clients that nobody here wrote, told of the contract by the server's reflection alone: right answers on both engines.

gRPC's own reflection client always runs; grpcurl and ghz, which are Go, run where they are on the PATH.
"""

import asyncio
import json
import shutil
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import grpc
import pytest
from google.protobuf import json_format
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessageClass
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.ids import UserId
from services.inference.rpc.engines import Engine
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_bench import ServingBench, serving

SERVICE = "nightjar.v1.RecommenderService"


@pytest.fixture
async def bench(tmp_path: Path, engine: Engine) -> AsyncIterator[ServingBench]:
    """v1 is live, and ann has a history."""
    async with serving(tmp_path, engine) as bench:
        bench.publish("v1", item_vectors(1))
        await bench.promote("v1")
        bench.histories.histories[UserId("ann")] = history_of("item-3", consumed=("item-3",), version="abc")
        yield bench


async def expected(bench: ServingBench, k: int) -> dict[str, Any]:
    reply = await bench.recommendations.Recommend(wire.RecommendRequest(user_id="ann", k=k))
    return comparable(json_format.MessageToDict(reply))


def comparable(answer: dict[str, Any]) -> dict[str, Any]:
    """Without what differs between two answers to one question."""
    return {name: value for name, value in answer.items() if name not in ("requestId", "cacheHit")}


async def run(*command: str) -> str:
    """What the program prints; skips where it is not installed."""
    if shutil.which(command[0]) is None:
        pytest.skip(f"{command[0]} is not on the PATH")
    process = await asyncio.create_subprocess_exec(
        *command, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE
    )
    out, errors = await asyncio.wait_for(process.communicate(), 60)
    assert process.returncode == 0, errors.decode()
    return out.decode()


async def test_a_client_that_learns_the_contract_from_the_server(bench: ServingBench) -> None:
    """No stub of ours: services, methods and messages are those that reflection tells."""

    def ask() -> tuple[list[str], dict[str, Any]]:
        with grpc.insecure_channel(bench.address) as channel:
            pool = DescriptorPool(ProtoReflectionDescriptorDatabase(channel))
            service = pool.FindServiceByName(SERVICE)
            method = service.FindMethodByName("Recommend")
            request = json_format.ParseDict({"userId": "ann", "k": 3}, GetMessageClass(method.input_type)())
            call: Any = channel.unary_unary(
                f"/{SERVICE}/Recommend",
                request_serializer=type(request).SerializeToString,
                response_deserializer=GetMessageClass(method.output_type).FromString,
            )
            return sorted(each.name for each in service.methods), json_format.MessageToDict(call(request, timeout=10))

    methods, answer = await asyncio.to_thread(ask)
    assert methods == sorted(wire.DESCRIPTOR.services_by_name["RecommenderService"].methods_by_name)
    assert comparable(answer) == await expected(bench, 3)
    assert [item["rank"] for item in answer["items"]] == [1, 2, 3]


async def test_a_method_is_found_by_its_name(bench: ServingBench) -> None:
    """As ghz looks for it; the library's own reflection knows services and messages only."""

    def file_of(symbol: str) -> str:
        with grpc.insecure_channel(bench.address) as channel:
            return ProtoReflectionDescriptorDatabase(channel).FindFileContainingSymbol(symbol).name

    assert await asyncio.to_thread(file_of, f"{SERVICE}.Recommend") == "nightjar/v1/recommender_service.proto"
    with pytest.raises(KeyError):
        await asyncio.to_thread(file_of, f"{SERVICE}.Teleport")


async def test_grpcurl(bench: ServingBench) -> None:
    listed = await run("grpcurl", "-plaintext", bench.address, "list")
    assert {SERVICE, "nightjar.v1.ModelService", "grpc.health.v1.Health"} <= set(listed.split())
    question = '{"userId": "ann", "k": 3}'
    answer = await run("grpcurl", "-plaintext", "-d", question, bench.address, f"{SERVICE}/Recommend")
    read = json_format.MessageToDict(json_format.Parse(answer, wire.RecommendResponse()))  # whichever names it prints
    assert comparable(read) == await expected(bench, 3)


async def test_ghz(bench: ServingBench) -> None:
    report = await run(
        "ghz", "--insecure", "--call", f"{SERVICE}/Recommend", "--data", '{"userId": "ann", "k": 3}',
        "--total", "200", "--concurrency", "10", "--format", "json", bench.address,
    )  # fmt: skip
    assert json.loads(report)["statusCodeDistribution"] == {"OK": 200}
