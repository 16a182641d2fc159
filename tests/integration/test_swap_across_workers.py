"""Law 3 on the real process: two workers, a real Redis behind the cache, a real catalog database."""

import asyncio
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from uuid import uuid4

import grpc
import pytest

from nightjar.v1 import model_service_pb2 as model_wire
from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.model_service_pb2_grpc import ModelServiceStub
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_process import Serving, start, write_events
from tests.integration.test_swap_under_load import expected_ids
from tests.waiting import POLL_S, wait_until

pytestmark = pytest.mark.redis

NUM_CHANNELS = 8  # connections of their own, so that the kernel spreads them over both workers
NUM_USERS = 6
NUM_ROLLBACKS = 4
NUM_ITEMS = 60
K = 10
TABLES = {"v1": item_vectors(1, NUM_ITEMS, dim=8), "v2": item_vectors(2, NUM_ITEMS, dim=8)}


@pytest.fixture
def serving(tmp_path: Path, redis_url: str) -> Iterator[Serving]:
    """Both versions are published; none is live."""
    serving = start(tmp_path / "home", redis_url)
    for version, vectors in TABLES.items():
        serving.publish(tmp_path / "drafts", version, vectors)
    yield serving
    serving.process.terminate()
    serving.process.wait(timeout=30)


@dataclass
class Load:
    """Calls on one connection after another, until told to stop; keeps every reply and failure."""

    address: str
    users: list[str]
    replies: list[tuple[str, wire.RecommendResponse]] = field(default_factory=list)
    failures: list[Exception] = field(default_factory=list)
    latest: dict[int, str] = field(default_factory=dict)
    stopping: bool = False

    async def call_on(self, caller: int) -> None:
        options = [("grpc.use_local_subchannel_pool", 1)]
        async with grpc.aio.insecure_channel(self.address, options=options) as channel:
            stub = RecommenderServiceStub(channel)
            number = caller
            while not self.stopping:
                user_id = self.users[number % len(self.users)]
                number += 1
                try:
                    reply = await stub.Recommend(wire.RecommendRequest(user_id=user_id, k=K), timeout=20)
                except Exception as error:  # noqa: BLE001 - whatever fails is a broken promise, and is counted
                    self.failures.append(error)
                else:
                    self.replies.append((user_id, reply))
                    self.latest[caller] = reply.model_version

    async def all_serve(self, version: str) -> None:
        """Returns when the last reply on every connection came from the version."""
        self.latest.clear()
        async with asyncio.timeout(30):
            while len(self.latest) < NUM_CHANNELS or set(self.latest.values()) != {version}:
                assert self.failures == []
                await asyncio.sleep(POLL_S)


async def test_rollbacks_under_load_fail_no_call_and_mix_no_versions(serving: Serving, redis_url: str) -> None:
    """Law 3, across processes: no reply, and no cached reply, of another version than the one it names."""
    histories = {f"user-{uuid4().hex}": (n + 1, 2 * n + 2, 3 * n + 3) for n in range(NUM_USERS)}
    for user_id, rows in histories.items():
        write_events(redis_url, user_id, *(f"item-{row}" for row in rows), kind="rating")
    serving.promote("v1")
    wait_until(lambda: serves(serving, "v1"), what="both workers serve v1")
    load = Load(serving.address, list(histories))
    callers = [asyncio.create_task(load.call_on(number)) for number in range(NUM_CHANNELS)]
    try:
        async with grpc.aio.insecure_channel(serving.address) as channel:
            models = ModelServiceStub(channel)
            for _ in range(NUM_ROLLBACKS):
                await models.PromoteModel(model_wire.PromoteModelRequest(version="v2", actor="test"), timeout=20)
                await load.all_serve("v2")
                await models.RollbackModel(model_wire.RollbackModelRequest(actor="test"), timeout=20)
                await load.all_serve("v1")
    finally:
        load.stopping = True
        await asyncio.gather(*callers)

    assert load.failures == []
    assert {reply.cache_hit for _, reply in load.replies} == {True, False}
    assert {reply.source for _, reply in load.replies} == {wire.SOURCE_MODEL}
    expected = {
        (version, user_id): expected_ids(vectors, rows)
        for version, vectors in TABLES.items()
        for user_id, rows in histories.items()
    }
    for user_id, reply in load.replies:
        assert [item.item_id for item in reply.items] == expected[reply.model_version, user_id]


def serves(serving: Serving, version: str) -> bool:
    try:
        return serving.versions() == {version}
    except grpc.RpcError:
        return False
