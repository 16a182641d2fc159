"""The real process, `python -m services.inference`: two workers on one port, a real Redis, a real catalog database."""

import json
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from deploy.embedded.ports import any_free
from nightjar.v1 import model_service_pb2 as model_wire
from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.model_service_pb2_grpc import ModelServiceStub
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub
from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.redis_store import HistoryLimits, RedisHistoryWriter
from services.domain.bundles import MANIFEST, sha256_of
from services.domain.clock import SystemClock
from services.domain.ids import EventId, ItemId, ModelVersion, UserId
from services.domain.interactions import DEFAULT_EVENT_TYPES, Interaction
from services.domain.models import Model
from services.registry.wiring import open_registry
from services.settings import Settings
from tests.fakes.model_registry import PASSED
from tests.fakes.tiny_bundle import item_vectors, write_draft
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

NUM_WORKERS = 2
ALL_SERVICES = ("", "nightjar.v1.RecommenderService", "nightjar.v1.ModelService")


def environment(home: Path, **settings: str) -> dict[str, str]:
    """The environment of a process under test: nothing of this one's settings, and a home of its own."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
    prefixed = {f"NIGHTJAR_{name}": value for name, value in settings.items()}
    return {**inherited, "NIGHTJAR_HOME": str(home), "NIGHTJAR_SERVE__POLL_INTERVAL_S": "0.2", **prefixed}


@dataclass
class Serving:
    """A running serving process and what a test needs to reach it."""

    process: subprocess.Popen[bytes]
    ready_file: Path
    log: Path
    home: Path

    @property
    def address(self) -> str:
        return f"127.0.0.1:{json.loads(self.ready_file.read_text())['port']}"

    def channel(self) -> grpc.Channel:
        """A channel with a connection of its own, so that several reach different workers."""
        return grpc.insecure_channel(self.address, options=[("grpc.use_local_subchannel_pool", 1)])

    def workers(self) -> list[psutil.Process]:
        """Its running worker processes."""
        children = psutil.Process(self.process.pid).children()
        return [child for child in children if child.status() != psutil.STATUS_ZOMBIE]

    def publish(self, drafts: Path, version: str, seed: int) -> None:
        """A bundle in the store this process reads, registered as passed by the gate."""
        settings = Settings(home=self.home)
        store, registry = FolderBundleStore(settings.bundle_folder), open_registry(settings)
        manifest = write_draft(drafts / version, version, vectors=item_vectors(seed))
        location = store.publish(drafts / version, manifest)
        digest = sha256_of(store.fetch(location) / MANIFEST)
        created_time = SystemClock().now()
        model = Model(manifest.model_version, manifest.kind, created_time, location, digest, manifest.data_version)
        registry.register(model)
        registry.judge(ModelVersion(version), PASSED)

    def promote(self, version: str) -> None:
        with self.channel() as channel:
            request = model_wire.PromoteModelRequest(version=version, actor="test")
            ModelServiceStub(channel).PromoteModel(request, timeout=10)

    def recommend(self, user_id: str) -> wire.RecommendResponse:
        """One call on a connection of its own."""
        with self.channel() as channel:
            request = wire.RecommendRequest(user_id=user_id, k=3)
            return RecommenderServiceStub(channel).Recommend(request, timeout=10)

    def versions(self) -> set[str]:
        """The versions that many connections, spread over the workers by the kernel, find serving."""
        return {self.recommend("nobody").model_version for _ in range(8)}


def start(home: Path, redis_url: str) -> Serving:
    """Starts the process and waits until every worker listens."""
    home.mkdir(parents=True)
    ready_file, log = home / "ready.json", home / "log"
    with log.open("wb") as out:
        process = subprocess.Popen(
            [sys.executable, "-m", "services.inference", "--ready-file", str(ready_file)],
            env=environment(home, REDIS__URL=redis_url, SERVE__PORT="0", SERVE__NUM_WORKERS=str(NUM_WORKERS)),
            cwd=home,
            stderr=out,
        )

    def is_ready() -> bool:
        assert process.poll() is None, log.read_text()
        return ready_file.exists()

    try:
        wait_until(is_ready, timeout_s=60, what="every worker listens")
    except BaseException:
        process.kill()
        process.wait()
        raise
    return Serving(process, ready_file, log, home)


@pytest.fixture
def serving(tmp_path: Path, redis_url: str) -> Iterator[Serving]:
    serving = start(tmp_path / "home", redis_url)
    yield serving
    if serving.process.poll() is None:
        serving.process.terminate()
    serving.process.wait(timeout=30)


def run_to_its_end(home: Path, **settings: str) -> subprocess.CompletedProcess[str]:
    """Runs a process that is expected to refuse to start."""
    home.mkdir()
    command = [sys.executable, "-m", "services.inference"]
    return subprocess.run(
        command, env=environment(home, **settings), cwd=home, capture_output=True, text=True, timeout=60, check=False
    )


def test_it_serves_swaps_and_stops(serving: Serving, tmp_path: Path, redis_url: str) -> None:
    """The whole life of a process: listening, a first model, an event, a swap, and an end that leaves nothing."""
    with pytest.raises(grpc.RpcError) as raised:
        serving.recommend("nobody")
    early: Any = raised.value
    assert early.code() is grpc.StatusCode.UNAVAILABLE
    with serving.channel() as channel:
        health: Any = health_pb2_grpc.HealthStub(channel)
        states = [health.Check(health_pb2.HealthCheckRequest(service=name)).status for name in ALL_SERVICES]
    assert states == [health_pb2.HealthCheckResponse.NOT_SERVING] * 2 + [health_pb2.HealthCheckResponse.SERVING]

    serving.publish(tmp_path / "drafts", "v1", seed=1)
    serving.promote("v1")
    wait_until(lambda: is_serving(serving), what="both workers have loaded v1")
    assert serving.recommend("nobody").source == wire.SOURCE_POPULAR
    with serving.channel() as channel:
        assert {*ALL_SERVICES[1:], "grpc.health.v1.Health"} <= reflected(channel)

    user_id = f"user-{uuid4().hex}"
    write_event(redis_url, user_id, "item-4")
    first = serving.recommend(user_id)
    assert (first.source, first.model_version) == (wire.SOURCE_MODEL, "v1")
    assert first.history_version

    serving.publish(tmp_path / "drafts", "v2", seed=2)
    serving.promote("v2")
    wait_until(lambda: serving.versions() == {"v2"}, what="both workers serve v2")
    assert serving.recommend(user_id).model_version == "v2"

    workers = serving.workers()
    assert len(workers) == NUM_WORKERS
    serving.process.send_signal(signal.SIGTERM)
    assert serving.process.wait(timeout=30) == 0, serving.log.read_text()
    assert not any(worker.is_running() for worker in workers)
    assert not serving.ready_file.exists()
    assert "Traceback" not in serving.log.read_text()


def is_serving(serving: Serving) -> bool:
    try:
        return serving.versions() == {"v1"}
    except grpc.RpcError:
        return False


def reflected(channel: grpc.Channel) -> set[str]:
    """The names of the services that reflection tells of."""
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    replies = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(list_services="")]), timeout=10)
    return {service.name for reply in replies for service in reply.list_services_response.service}


def write_event(redis_url: str, user_id: str, item_id: str) -> None:
    writer = RedisHistoryWriter(redis_url, DEFAULT_EVENT_TYPES, HistoryLimits(10, 10, 600))
    writer.apply([Interaction(EventId(uuid4().hex), UserId(user_id), ItemId(item_id), "view", 1_700_000_000_000_000)])
    writer.close()


def test_faults_around_it(tmp_path: Path) -> None:
    """One process through three faults: no Redis from the start, a worker that dies, and its own violent end."""
    serving = start(tmp_path / "home", f"redis://127.0.0.1:{any_free()}/0")
    try:
        serving.publish(tmp_path / "drafts", "v1", seed=1)
        serving.promote("v1")
        wait_until(lambda: is_serving(serving), what="both workers have found v1 without a notice")
        answer = serving.recommend("ann")
        assert (answer.source, answer.degraded) == (wire.SOURCE_POPULAR, True)
        assert len(answer.items) == 3
        _replaces_a_dead_worker(serving)
    finally:
        workers = serving.workers()
        serving.process.kill()
        serving.process.wait(timeout=30)
    wait_until(lambda: not any(worker.is_running() for worker in workers), what="every worker has ended")


def _replaces_a_dead_worker(serving: Serving) -> None:
    before = {worker.pid for worker in serving.workers()}
    os.kill(min(before), signal.SIGKILL)
    wait_until(lambda: len({worker.pid for worker in serving.workers()} - before) == 1, what="a new worker")
    assert len(serving.workers()) == NUM_WORKERS
    assert serving.recommend("ann").model_version == "v1"  # by the other one, or already by both


def test_a_port_in_use_ends_the_start_with_one_sentence(tmp_path: Path, redis_url: str) -> None:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)  # would share the port with us
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        ended = run_to_its_end(tmp_path / "home", REDIS__URL=redis_url, SERVE__PORT=port)
    assert ended.returncode == 1
    assert ended.stderr.count("\n") == 1
    assert port in ended.stderr
    assert "NIGHTJAR_SERVE__PORT" in ended.stderr


def test_a_missing_store_is_a_wrong_setting(tmp_path: Path) -> None:
    ended = run_to_its_end(tmp_path / "home")
    assert ended.returncode == 2
    assert ended.stderr.count("\n") == 1
    assert "NIGHTJAR_REDIS__URL" in ended.stderr


def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path, redis_url: str) -> None:
    """Said once by the worker and once by the process, never tried for ever."""
    wrong = {"DATABASE__URL": "mysql://nowhere", "SERVE__NUM_WORKERS": "1", "SERVE__PORT": "0"}
    ended = run_to_its_end(tmp_path / "home", REDIS__URL=redis_url, **wrong)
    assert ended.returncode == 1
    assert "NIGHTJAR_DATABASE__URL" in ended.stderr
    assert "Traceback" not in ended.stderr
