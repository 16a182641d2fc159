"""EventService on a Kafka in memory: the answer's words, its order, and when a call fails as a whole."""

from collections.abc import AsyncIterator, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import grpc
import pytest

from nightjar.v1 import event_pb2
from nightjar.v1 import event_service_pb2 as wire
from nightjar.v1.event_service_pb2_grpc import EventServiceStub
from services.domain.errors import BrokerDown, InvalidRequest
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.ingest.codec import Limits
from services.ingest.gateway.publishing import Publisher
from services.ingest.gateway.recorder import GatewayRecorder
from services.ingest.gateway.room import Room
from services.ingest.gateway.server import Health, build_server
from services.ingest.gateway.servicer import EventServicer
from tests.fakes.clock import START, FakeClock
from tests.fakes.event_sender import FakeEventSender

CONTEXT: Any = None


def event(event_id: str, **fields: object) -> event_pb2.Event:
    message = event_pb2.Event(event_id=event_id, user_id="ada", item_id="book", type="view")
    message.event_time.FromDatetime(START)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


class Bench:
    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self.sender, self.recorder = FakeEventSender(), GatewayRecorder()
        limits = Limits(max_record_bytes=65_536, max_future_us=0)
        room, types = Room(1_000_000), DEFAULT_EVENT_TYPES
        publisher = Publisher(self.sender, FakeClock(), thread, room, types=types, limits=limits, answer_timeout_s=5.0)
        self.servicer = EventServicer(
            publisher, self.recorder, max_request_events=3, max_stream_events=5, stream_idle_timeout_s=0.2
        )

    async def unary(self, *events: event_pb2.Event) -> list[wire.PublishResult]:
        response = await self.servicer.PublishEvents(wire.PublishEventsRequest(events=events), CONTEXT)
        return list(response.results)

    async def stream(self, *messages: list[event_pb2.Event]) -> list[wire.PublishResult]:
        async def requests() -> AsyncIterator[wire.PublishEventStreamRequest]:
            for events in messages:
                yield wire.PublishEventStreamRequest(events=events)

        return list((await self.servicer.PublishEventStream(requests(), CONTEXT)).results)


@pytest.fixture
def bench() -> Iterator[Bench]:
    with ThreadPoolExecutor(max_workers=1) as thread:
        yield Bench(thread)


async def test_the_answer_speaks_the_contracts_words(bench: Bench) -> None:
    long_id = "é" * 300
    results = await bench.unary(event("e0"), event(long_id), event("e2", type="teleport"))
    assert [(result.event_id, result.status, result.problem) for result in results] == [
        ("e0", wire.PUBLISH_STATUS_STORED, ""),
        (long_id[:256], wire.PUBLISH_STATUS_INVALID, "invalid_field"),
        ("e2", wire.PUBLISH_STATUS_INVALID, "unknown_type"),
    ]
    assert results[0].detail == ""
    assert "teleport" in results[2].detail
    assert bench.recorder.value("nightjar_published_events_total", status="stored") == 1
    assert bench.recorder.value("nightjar_published_events_total", status="invalid") == 2


async def test_a_stream_is_answered_once_for_all_of_it_in_order(bench: Bench) -> None:
    results = await bench.stream([event("e0"), event("e1")], [], [event("e2", type="teleport")], [event("e3")])
    assert [result.event_id for result in results] == ["e0", "e1", "e2", "e3"]
    assert [sent.event_id for sent in bench.sender.sent] == ["e0", "e1", "e3"]


async def test_an_idle_stream_ends_and_its_place_is_free_again(bench: Bench) -> None:
    """Over a real connection: as many idle streams as there are calls would shut health checks out for good."""
    server = build_server(bench.servicer, Health(), bench.recorder, max_request_bytes=1_048_576, max_calls=1)
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
        stub = EventServiceStub(channel)
        idle = stub.PublishEventStream()
        await idle.write(wire.PublishEventStreamRequest(events=[event("e0")]))
        with pytest.raises(grpc.aio.AioRpcError, match="send the same events again") as ended:
            await idle
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        answer = await stub.PublishEvents(wire.PublishEventsRequest(events=[event("e0")]), timeout=10)
        assert [result.status for result in answer.results] == [wire.PUBLISH_STATUS_STORED]
    await server.stop(None)


async def test_when_kafka_took_nothing_the_call_fails_as_a_whole(bench: Bench) -> None:
    """So that any gRPC client's own retries do the right thing."""
    bench.sender.is_down = True
    with pytest.raises(BrokerDown):
        await bench.unary(event("e0"), event("e1", type="teleport"))
    with pytest.raises(BrokerDown):
        await bench.stream([event("e0")])
    assert bench.recorder.value("nightjar_published_events_total", status="not_stored") == 2


async def test_only_bad_events_are_no_failure_of_the_call(bench: Bench) -> None:
    bench.sender.is_down = True
    assert [result.status for result in await bench.unary(event("e0", type="x"))] == [wire.PUBLISH_STATUS_INVALID]


async def test_too_many_events_are_refused_by_name(bench: Bench) -> None:
    with pytest.raises(InvalidRequest, match="events has 4 entries; at most 3"):
        await bench.unary(*[event("e")] * 4)
    with pytest.raises(InvalidRequest, match="more than 5 in one stream"):
        await bench.stream([event("e")] * 3, [event("e")] * 3)
