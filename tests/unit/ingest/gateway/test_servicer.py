"""EventService on a Kafka in memory: the answer's words, its order, and when a call fails as a whole."""

import gc
import itertools
import tracemalloc
from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any

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
from services.settings.gateway import GatewaySettings
from tests.fakes.clock import START, FakeClock
from tests.fakes.event_sender import FakeEventSender

if TYPE_CHECKING:
    from nightjar.v1.event_service_pb2_grpc import EventServiceAsyncStub

CONTEXT: Any = None


def event(event_id: str, **fields: object) -> event_pb2.Event:
    message = event_pb2.Event(event_id=event_id, user_id="ada", item_id="book", type="view")
    message.event_time.FromDatetime(START)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


class Bench:
    def __init__(
        self, thread: ThreadPoolExecutor, sender: FakeEventSender, max_request_events: int, max_stream_events: int
    ) -> None:
        self.sender, self.recorder = sender, GatewayRecorder()
        limits = Limits(max_record_bytes=65_536, max_future_us=0)
        room, types = Room(64_000_000), DEFAULT_EVENT_TYPES
        publisher = Publisher(self.sender, FakeClock(), thread, room, types=types, limits=limits, answer_timeout_s=30.0)
        self.servicer = EventServicer(
            publisher,
            self.recorder,
            max_request_events=max_request_events,
            max_stream_events=max_stream_events,
            stream_idle_timeout_s=0.2,
        )

    @asynccontextmanager
    async def connected(self, max_calls: int = 1) -> AsyncIterator["EventServiceAsyncStub"]:
        """Over a real connection, of a client that sets nothing."""
        server = build_server(
            self.servicer, Health(), self.recorder, max_request_bytes=4 * 1_048_576, max_calls=max_calls
        )
        port = server.add_insecure_port("127.0.0.1:0")
        await server.start()
        async with grpc.aio.insecure_channel(f"127.0.0.1:{port}") as channel:
            yield EventServiceStub(channel)
        await server.stop(None)

    async def unary(self, *events: event_pb2.Event) -> list[wire.PublishResult]:
        response = await self.servicer.PublishEvents(wire.PublishEventsRequest(events=events), CONTEXT)
        return list(response.results)

    async def stream(self, *messages: list[event_pb2.Event]) -> list[wire.PublishResult]:
        async def requests() -> AsyncIterator[wire.PublishEventStreamRequest]:
            for events in messages:
                yield wire.PublishEventStreamRequest(events=events)

        return list((await self.servicer.PublishEventStream(requests(), CONTEXT)).results)


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


@pytest.fixture
def bench(thread: ThreadPoolExecutor) -> Bench:
    return Bench(thread, FakeEventSender(), max_request_events=3, max_stream_events=5)


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
    """As many idle streams as there are calls would shut health checks out for good."""
    async with bench.connected(max_calls=1) as stub:
        idle = stub.PublishEventStream()
        await idle.write(wire.PublishEventStreamRequest(events=[event("e0")]))
        with pytest.raises(grpc.aio.AioRpcError, match="send the same events again") as ended:
            await idle
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED
        answer = await stub.PublishEvents(wire.PublishEventsRequest(events=[event("e0")]), timeout=10)
        assert [result.status for result in answer.results] == [wire.PUBLISH_STATUS_STORED]


async def test_empty_messages_do_not_keep_a_stream_open(bench: Bench) -> None:
    async with bench.connected() as stub:
        empty = itertools.repeat(wire.PublishEventStreamRequest())
        with pytest.raises(grpc.aio.AioRpcError, match="No event of the stream came") as ended:
            await stub.PublishEventStream(empty, timeout=20)
        assert ended.value.code() is grpc.StatusCode.DEADLINE_EXCEEDED


async def test_of_empty_messages_nothing_is_kept(bench: Bench) -> None:
    kept_bytes: list[int] = []

    async def requests() -> AsyncIterator[wire.PublishEventStreamRequest]:
        for number in range(50_000):
            if number in (1_000, 49_999):
                gc.collect()
                kept_bytes.append(tracemalloc.get_traced_memory()[0])
            yield wire.PublishEventStreamRequest()

    tracemalloc.start()
    try:
        assert not (await bench.servicer.PublishEventStream(requests(), CONTEXT)).results
    finally:
        tracemalloc.stop()
    first, last = kept_bytes
    assert last - first < 100_000


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


MAX_REQUEST, MAX_STREAM = GatewaySettings().max_request_events, GatewaySettings().max_stream_events


def messages(
    id_of: Callable[[int], str], num_events: int, **fields: object
) -> Iterator[wire.PublishEventStreamRequest]:
    for start in range(0, num_events, MAX_REQUEST):
        rows = range(start, min(start + MAX_REQUEST, num_events))
        yield wire.PublishEventStreamRequest(events=[event(id_of(row), **fields) for row in rows])


def uuid_like(row: int) -> str:
    return f"0191f3a4-7c1e-7000-8000-{row:012}"


async def published(bench: Bench, requests: Iterator[wire.PublishEventStreamRequest]) -> Sequence[wire.PublishResult]:
    async with bench.connected() as stub:
        return (await stub.PublishEventStream(requests, timeout=60)).results


async def test_the_answer_to_the_longest_stream_fits_into_what_clients_take(thread: ThreadPoolExecutor) -> None:
    bench = Bench(thread, FakeEventSender(), MAX_REQUEST, MAX_STREAM)
    results = await published(bench, messages(uuid_like, MAX_STREAM))
    assert [result.event_id for result in results] == [uuid_like(row) for row in range(MAX_STREAM)]
    assert {result.status for result in results} == {wire.PUBLISH_STATUS_STORED}


async def test_so_does_one_that_has_something_to_say_of_every_event(thread: ThreadPoolExecutor) -> None:
    """The sentences give way, never the results."""
    bench = Bench(thread, FakeEventSender(), MAX_REQUEST, MAX_STREAM)
    results = await published(bench, messages(uuid_like, MAX_STREAM, type="é" * 200))
    assert len(results) == MAX_STREAM
    assert {(result.status, result.problem) for result in results} == {(wire.PUBLISH_STATUS_INVALID, "unknown_type")}
    assert "é" in results[0].detail
    assert results[-1].detail == ""


async def test_a_stream_whose_answer_nobody_could_take_ends_before_it_is_that_long(thread: ThreadPoolExecutor) -> None:
    bench = Bench(thread, FakeEventSender(), MAX_REQUEST, MAX_STREAM)

    def long_id(row: int) -> str:
        return f"{row:06}".ljust(256, "x")

    with pytest.raises(grpc.aio.AioRpcError, match=r"exceed 3.5 MiB; send them again in several") as ended:
        await published(bench, messages(long_id, 13_000))
    assert ended.value.code() is grpc.StatusCode.INVALID_ARGUMENT
    assert len(await published(bench, messages(long_id, 12_000))) == 12_000
