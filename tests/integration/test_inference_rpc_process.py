"""The real process, `python -m services.inference`: two workers on one port, a real Redis, a real catalog database."""

import os
import signal
import socket
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import uuid4

import grpc
import psutil
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc

from deploy.embedded.ports import any_free
from nightjar.v1 import recommender_service_pb2 as wire
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_process import ENGINE, NUM_WORKERS, Serving, environment, start, write_events
from tests.waiting import wait_until

pytestmark = pytest.mark.redis

ALL_SERVICES = ("", "nightjar.v1.RecommenderService", "nightjar.v1.ModelService")


@pytest.fixture
def serving(request: pytest.FixtureRequest, tmp_path: Path, redis_url: str) -> Iterator[Serving]:
    serving = start(tmp_path / "home", redis_url, SERVE__ENGINE=getattr(request, "param", ENGINE))
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


@pytest.mark.parametrize("serving", ["grpcio", "native"], indirect=True)
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

    serving.publish(tmp_path / "drafts", "v1", item_vectors(1))
    serving.promote("v1")
    wait_until(lambda: is_serving(serving), what="both workers have loaded v1")
    assert serving.recommend("nobody").source == wire.SOURCE_POPULAR
    with serving.channel() as channel:
        assert {*ALL_SERVICES[1:], "grpc.health.v1.Health"} <= reflected(channel)

    user_id = f"user-{uuid4().hex}"
    write_events(redis_url, user_id, "item-4")
    first = serving.recommend(user_id)
    assert (first.source, first.model_version) == (wire.SOURCE_MODEL, "v1")
    assert first.history_version

    serving.publish(tmp_path / "drafts", "v2", item_vectors(2))
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


def test_faults_around_it(tmp_path: Path) -> None:
    """One process through three faults: no Redis from the start, a worker that dies, and its own violent end."""
    serving = start(tmp_path / "home", f"redis://127.0.0.1:{any_free()}/0")
    try:
        serving.publish(tmp_path / "drafts", "v1", item_vectors(1))
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


def move_away(home: Path, elsewhere: Path) -> None:
    """The database is gone for whoever connects from now on."""
    elsewhere.mkdir()
    for path in home.glob("catalog.db*"):
        path.rename(elsewhere / path.name)


def test_a_worker_that_starts_without_the_database_fails_no_call(
    serving: Serving, tmp_path: Path, redis_url: str
) -> None:
    """Law 6: one worker after the other dies, until all have started without a database; no call fails meanwhile."""
    serving.publish(tmp_path / "drafts", "v1", item_vectors(1))
    serving.promote("v1")
    wait_until(lambda: is_serving(serving), what="both workers have loaded v1")
    user_id = f"user-{uuid4().hex}"
    write_events(redis_url, user_id, "item-4")
    move_away(serving.home, tmp_path / "elsewhere")

    answers = []
    for worker in serving.workers():
        answers += replace_and_ask(serving, worker, user_id)
    assert {(answer.model_version, answer.source) for answer in answers} == {("v1", wire.SOURCE_MODEL)}
    # What is hidden is known as of the last time the database answered; a new worker says that this may be old.
    assert {answer.degraded_reason for answer in answers if answer.degraded} == {wire.DEGRADED_REASON_CATALOG_DOWN}
    assert serving.log.read_text().count("last_known_model_loaded") == NUM_WORKERS


def replace_and_ask(serving: Serving, worker: psutil.Process, user_id: str) -> list[wire.RecommendResponse]:
    """Kills a worker and asks, each time on a new connection, until another listens, and some more."""
    answers, num_before = [], serving.num_started()
    worker.kill()
    worker.wait(timeout=10)

    def another_listens() -> bool:
        answers.append(serving.recommend(user_id))
        return serving.num_started() > num_before

    wait_until(another_listens, timeout_s=60, what="another worker listens")
    return answers + [serving.recommend(user_id) for _ in range(10)]


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
