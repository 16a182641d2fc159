"""The gateway's use case on a Kafka in memory: who is judged, who is sent, and what each event's answer is."""

import asyncio
import gc
import tracemalloc
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import pytest

from nightjar.v1 import event_pb2
from services.domain.errors import Overloaded
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.ingest.codec import Limits
from services.ingest.gateway.outcomes import NO_ANSWER_IN_TIME, Batch, Outcome, Status
from services.ingest.gateway.publishing import Publisher
from services.ingest.gateway.room import Room
from tests.fakes.clock import START, FakeClock
from tests.fakes.event_sender import FakeEventSender
from tests.waiting import wait_until

DAY_S = 86_400


def event(number: int, **fields: object) -> event_pb2.Event:
    message = event_pb2.Event(event_id=f"e{number}", user_id="ada", item_id="book", type="view")
    message.event_time.FromDatetime(START)
    for name, value in fields.items():
        setattr(message, name, value)
    return message


@pytest.fixture
def thread() -> Iterator[ThreadPoolExecutor]:
    with ThreadPoolExecutor(max_workers=1) as pool:
        yield pool


class Bench:
    """A publisher on a fake Kafka."""

    def __init__(self, thread: ThreadPoolExecutor) -> None:
        self.thread = thread
        self.sender = FakeEventSender()

    def publisher(self, *, max_bytes: int = 1_000_000, answer_timeout_s: float = 5.0) -> Publisher:
        return Publisher(
            self.sender,
            FakeClock(),
            self.thread,
            Room(max_bytes),
            types=DEFAULT_EVENT_TYPES,
            limits=Limits(max_record_bytes=65_536, max_future_us=DAY_S * 1_000_000),
            answer_timeout_s=answer_timeout_s,
        )

    async def all_sent(self, count: int) -> None:
        await asyncio.to_thread(wait_until, lambda: len(self.sender.sent) == count)


@pytest.fixture
def bench(thread: ThreadPoolExecutor) -> Bench:
    return Bench(thread)


async def publish(publisher: Publisher, *events: event_pb2.Event) -> list[Outcome]:
    return await (await publisher.publish(events, patient=False)).outcomes()


async def test_every_event_has_its_outcome_in_order_and_a_bad_one_stops_nobody(bench: Bench) -> None:
    late = event(4)
    late.event_time.seconds += 2 * DAY_S
    events = [event(0), event(1, type="teleport"), event(2, user_id=""), event(3, surface="x" * 70_000), late, event(5)]
    outcomes = await publish(bench.publisher(), *events)
    assert [(outcome.event_id, outcome.status, outcome.problem) for outcome in outcomes] == [
        ("e0", Status.STORED, ""),
        ("e1", Status.INVALID, "unknown_type"),
        ("e2", Status.INVALID, "invalid_field"),
        ("e3", Status.INVALID, "oversized"),
        ("e4", Status.INVALID, "future_time"),
        ("e5", Status.STORED, ""),
    ]
    assert [sent.event_id for sent in bench.sender.sent] == ["e0", "e5"]
    assert all(outcome.detail for outcome in outcomes if outcome.status is Status.INVALID)


async def test_nothing_is_answered_before_kafka_has_acknowledged_all(bench: Bench) -> None:
    bench.sender = FakeEventSender(automatic=False)
    answer = asyncio.create_task(publish(bench.publisher(), event(0), event(1)))
    await bench.all_sent(2)
    bench.sender.acknowledge(1)
    await asyncio.sleep(0)
    assert not answer.done()
    bench.sender.lose(1)
    assert [outcome.status for outcome in await answer] == [Status.STORED, Status.NOT_STORED]


async def test_silence_is_answered_in_time(bench: Bench) -> None:
    """The acknowledged ones are told as such; the others may be stored or not, and are to be sent again."""
    bench.sender = FakeEventSender(automatic=False)
    answer = asyncio.create_task(publish(bench.publisher(answer_timeout_s=0.3), event(0), event(1)))
    await bench.all_sent(2)
    bench.sender.acknowledge(1)
    first, second = await answer
    assert first.status is Status.STORED
    assert (second.status, second.problem) == (Status.NOT_STORED, NO_ANSWER_IN_TIME)


async def test_once_kafka_is_away_the_rest_is_not_tried(bench: Bench) -> None:
    """Each try may block for seconds, and a later event must not overtake an earlier one of its user."""
    bench.sender.is_down = True
    outcomes = await publish(bench.publisher(), event(0), event(1, type="teleport"), event(2))
    assert [outcome.status for outcome in outcomes] == [Status.NOT_STORED, Status.INVALID, Status.NOT_STORED]
    assert bench.sender.sent == []


async def test_a_full_gateway_refuses_before_anything_is_sent(bench: Bench) -> None:
    bench.sender = FakeEventSender(automatic=False)
    publisher = bench.publisher(max_bytes=4_000)
    first = await publisher.publish([event(0), event(1)], patient=False)
    await bench.all_sent(2)
    with pytest.raises(Overloaded, match="send the same events again"):
        await publisher.publish([event(2)], patient=False)
    bench.sender.acknowledge(2)
    await first.outcomes()
    second = asyncio.create_task(publish(publisher, event(2)))
    await bench.all_sent(3)
    bench.sender.acknowledge(1)
    assert [outcome.event_id for outcome in await second] == ["e2"]


async def test_a_stream_waits_for_room_instead(bench: Bench) -> None:
    bench.sender = FakeEventSender(automatic=False)
    publisher = bench.publisher(max_bytes=4_000)
    first = await publisher.publish([event(0), event(1)], patient=False)
    waiting = asyncio.create_task(publisher.publish([event(2)], patient=True))
    await bench.all_sent(2)
    assert not waiting.done()
    bench.sender.acknowledge(2)
    await first.outcomes()
    await waiting
    await bench.all_sent(3)
    bench.sender.acknowledge(1)


async def test_a_batch_larger_than_all_the_room_is_sent_when_nothing_else_is(bench: Bench) -> None:
    outcomes = await publish(bench.publisher(max_bytes=10), event(0), event(1))
    assert {outcome.status for outcome in outcomes} == {Status.STORED}


async def test_a_caller_who_gave_up_leaks_no_room(bench: Bench) -> None:
    """Room is held until Kafka has spoken, not until the caller has heard."""
    bench.sender = FakeEventSender(automatic=False)
    publisher = bench.publisher(max_bytes=4_000, answer_timeout_s=0.1)
    assert [outcome.status for outcome in await publish(publisher, event(0), event(1))] == [Status.NOT_STORED] * 2
    with pytest.raises(Overloaded):
        await publisher.publish([event(2)], patient=False)
    bench.sender.acknowledge(2)
    await asyncio.sleep(0)  # the loop hears of it
    await publisher.publish([event(2)], patient=False)
    await bench.all_sent(3)


async def test_what_nobody_foresaw_is_raised_and_leaks_no_room(bench: Bench) -> None:
    class Broken(FakeEventSender):
        def send(self, *_: object) -> None:
            raise ZeroDivisionError

    bench.sender = Broken()
    publisher = bench.publisher(max_bytes=10)
    for _ in range(2):
        with pytest.raises(ZeroDivisionError):
            await publish(publisher, event(0))


async def test_what_is_kept_of_an_event_is_bounded_however_large_it_was(bench: Bench) -> None:
    """A stream keeps its outcomes until it ends, when the room that its events took was given back long before."""
    publisher = bench.publisher(max_bytes=100_000_000)
    tracemalloc.start()
    try:
        batches = [
            await publisher.publish([event(0, event_id=1_000_000 * "x"), event(1, type=1_000_000 * "y")], patient=False)
            for _ in range(5)
        ]
        outcomes = [outcome for batch in batches for outcome in await batch.outcomes()]
        bench.thread.submit(gc.collect).result()  # the thread is through, and holds no event any more
        kept_bytes, _ = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert kept_bytes < 500_000
    assert {outcome.status for outcome in outcomes} == {Status.INVALID}
    assert {outcome.event_id for outcome in outcomes} == {256 * "x", "e1"}


async def test_a_sentence_that_quotes_much_is_cut() -> None:
    batch = Batch(["e0"], 5.0, when_over=lambda: None)
    batch.tell(0, Status.INVALID, "malformed", 4_000 * "z")
    assert [outcome.detail for outcome in await batch.outcomes()] == [512 * "z"]


async def test_no_events_no_outcomes(bench: Bench) -> None:
    assert await publish(bench.publisher()) == []
