"""The real gateway on a real Kafka, up to the log: what it answers is true, also when the broker comes and goes."""

import errno
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import grpc
import pytest
from grpc_reflection.v1alpha.proto_reflection_descriptor_database import ProtoReflectionDescriptorDatabase

from deploy.embedded import kafka, kafka_jars
from deploy.embedded.java import find_java
from deploy.embedded.ports import any_free
from deploy.embedded.processes import running
from nightjar import Event, EventsClient, EventsNotStored
from nightjar.v1 import event_service_pb2 as wire
from nightjar.v1.event_service_pb2_grpc import EventServiceStub
from services.domain.streams import Counts
from services.settings import Settings
from tests.integration.gateway_process import Gateway, gateway, starting
from tests.integration.pipeline import Pipeline
from tests.waiting import wait_until

pytestmark = [pytest.mark.kafka, pytest.mark.redis]
STORED, INVALID = wire.PUBLISH_STATUS_STORED, wire.PUBLISH_STATUS_INVALID


@pytest.fixture
def pipeline(kafka_servers: str, redis_url: str, tmp_path: Path) -> Iterator[Pipeline]:
    built = Pipeline(kafka_servers, redis_url, tmp_path / "home")
    yield built
    built.producer.close()


def event(number: int, kind: str = "view") -> Event:
    return Event(f"u{number % 5}", f"i{number}", kind, event_id=f"e{number:05}", event_time=datetime.now(UTC))


def test_what_is_answered_as_stored_is_logged_once(pipeline: Pipeline, tmp_path: Path) -> None:
    """Unary and streamed, bad events among good ones, everything sent more than once: one row an event."""
    batch = [event(number) for number in range(20)]
    batch[7] = event(7, "teleport")
    parts = [
        wire.PublishEventStreamRequest(events=[event(number).to_proto() for number in range(start, start + 10)])
        for start in range(20, 60, 10)
    ]
    parts[1].events[3].user_id = ""
    with gateway(pipeline.environment, tmp_path) as served:
        assert served.health() == "SERVING"
        with grpc.insecure_channel(served.target) as channel:
            assert "nightjar.v1.EventService" in ProtoReflectionDescriptorDatabase(channel).get_services()
            for _ in range(2):
                with EventsClient(served.target) as client:
                    results = client.publish(batch)
                assert [result.event_id for result in results] == [each.event_id for each in batch]
                assert [result.event_id for result in results if not result.stored] == ["e00007"]
                assert results[7].problem == "unknown_type"
                answer = EventServiceStub(channel).PublishEventStream(iter(parts), timeout=20)
                assert [result.status for result in answer.results] == [STORED] * 13 + [INVALID] + [STORED] * 26
            answer = EventServiceStub(channel).PublishEventStream(stopped_after_the_first(parts, served), timeout=20)
            assert [result.status for result in answer.results] == [STORED] * 13 + [INVALID] + [STORED] * 26
        assert served.process.wait(20) == 0, served.log.read_text()
        assert not served.ready_file.exists()
    with pipeline.writer("offline"):
        wait_until(lambda: pipeline.counts().read == 155, timeout_s=30, what="all that was stored is read")
    assert pipeline.counts() == Counts(read=155, logged=58, duplicate=97)


def stopped_after_the_first(
    parts: list[wire.PublishEventStreamRequest], served: Gateway
) -> Iterator[wire.PublishEventStreamRequest]:
    """SIGTERM in the middle of a stream: nobody new is let in, and what runs is finished."""
    target = served.target
    yield parts[0]
    served.process.send_signal(signal.SIGTERM)
    wait_until(lambda: refuses(target), what="new connections are refused")
    yield from parts[1:]


def refuses(target: str) -> bool:
    host, _, port = target.partition(":")
    with socket.socket() as trial:
        return trial.connect_ex((host, int(port))) == errno.ECONNREFUSED


def test_a_broker_that_goes_is_said_in_time_and_one_that_comes_back_is_used(tmp_path: Path, redis_url: str) -> None:
    """Neither a hang nor a lie: not stored means not known to be stored, and the same events sent again count once."""
    node = kafka.KafkaNode(tmp_path / "kafka", any_free(), any_free(), heap_mib=256)
    broker = kafka.program(node, find_java(), kafka_jars.class_path(Settings().cache_folder), tmp_path / "kafka.log")
    environment = {
        "NIGHTJAR_HOME": str(tmp_path / "home"),
        "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": node.bootstrap_servers,
        "NIGHTJAR_KAFKA__EVENTS_TOPIC": "events-here",
        "NIGHTJAR_GATEWAY__PORT": str(any_free()),
        "NIGHTJAR_GATEWAY__ANSWER_TIMEOUT_S": "2",
    }
    target = f"127.0.0.1:{environment['NIGHTJAR_GATEWAY__PORT']}"
    with starting(environment, tmp_path) as served:
        wait_until(lambda: "broker_down" in served.log.read_text(), timeout_s=60, what="it says that Kafka is away")
        assert not served.ready_file.exists()
        with (
            EventsClient(target, timeout_s=2) as hasty,
            pytest.raises(EventsNotStored, match="Kafka has not answered"),
        ):
            hasty.publish([event(0)])
        with running(broker):
            pipeline = Pipeline(node.bootstrap_servers, redis_url, tmp_path / "home", name="here")
            pipeline.producer.close()
            wait_until(served.is_ready, timeout_s=30, what="it has found Kafka")
            with EventsClient(target) as client:
                assert client.publish([event(0)])[0].stored
        with EventsClient(target, timeout_s=0.5) as hasty, grpc.insecure_channel(target) as channel:
            start = time.monotonic()
            with pytest.raises(grpc.RpcError) as raised:
                EventServiceStub(channel).PublishEvents(
                    wire.PublishEventsRequest(events=[event(1).to_proto()]), timeout=20
                )
            assert time.monotonic() - start < 4
            assert raised.value.code() is grpc.StatusCode.UNAVAILABLE
            with pytest.raises(EventsNotStored, match="1 of 1 events"):
                hasty.publish([event(1)])
        with running(broker):
            with EventsClient(target, timeout_s=40) as client:
                assert all(result.stored for result in client.publish([event(0), event(1), event(2)]))
            served.process.send_signal(signal.SIGTERM)
            assert served.process.wait(20) == 0, served.log.read_text()
            with pipeline.writer("offline"):
                wait_until(lambda: pipeline.counts().logged == 3, timeout_s=30, what="three rows")
    # kafka-python logs a traceback of its own when the broker's end of a connection is gone in the middle of a send.
    ours = [line for line in served.log.read_text().splitlines() if "KafkaTCPTransport" not in line]
    assert "Traceback" not in "\n".join(ours)


def test_a_full_gateway_refuses_a_call_and_slows_a_stream_down(pipeline: Pipeline, tmp_path: Path) -> None:
    """With room for little more than one request, many at once are refused or stored, none is lost, and a stream of
    many times the room ends with every event stored.
    """
    large = {"a": "x" * 1_000}
    events = [Event("ada", "i", "view", event_id=f"e{each}", attributes=large).to_proto() for each in range(8_000)]
    parts = [events[start : start + 1_000] for start in range(0, 8_000, 1_000)]
    full = gateway(pipeline.environment, tmp_path, MAX_BUFFER_BYTES=str(8 * 1_048_576))
    with full as served, grpc.insecure_channel(served.target) as channel:
        stub = EventServiceStub(channel)
        calls = [stub.PublishEvents.future(wire.PublishEventsRequest(events=part), timeout=60) for part in parts]
        assert {call.code() for call in calls} == {grpc.StatusCode.OK, grpc.StatusCode.RESOURCE_EXHAUSTED}
        stream = (wire.PublishEventStreamRequest(events=part) for part in parts)
        answer = stub.PublishEventStream(stream, timeout=60)
        assert [result.status for result in answer.results] == [STORED] * 8_000


@pytest.mark.parametrize(
    ("settings", "status", "named"),
    [({}, 2, "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS"), ({"NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": "k:1"}, 1, "GATEWAY__PORT")],
    ids=["no Kafka is named", "the port is taken"],
)
def test_a_start_that_cannot_be_is_one_sentence(settings: dict[str, str], status: int, named: str) -> None:
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen()
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
        port = {"NIGHTJAR_GATEWAY__PORT": str(listener.getsockname()[1])}
        child = subprocess.run(
            [sys.executable, "-m", "services.ingest.gateway"],
            env=inherited | port | settings,
            capture_output=True,
            text=True,
            timeout=60,
            check=False,
        )
    assert child.returncode == status, child.stderr
    assert named in child.stderr.splitlines()[-1]
    assert "Traceback" not in child.stderr
