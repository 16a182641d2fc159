"""EventProducer on a real Kafka: acknowledged means readable, in order, once, and a full buffer never loses a word."""

import threading
import uuid
from collections import defaultdict
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from kafka import KafkaAdminClient, KafkaConsumer, TopicPartition

from deploy.embedded import kafka, kafka_jars
from deploy.embedded.java import find_java
from deploy.embedded.ports import any_free
from deploy.embedded.processes import running
from nightjar import (
    BrokerUnreachable,
    BufferFull,
    DeliveryFailed,
    DeliveryReport,
    Event,
    EventProducer,
    FlushTimedOut,
    InvalidField,
    Item,
    NightjarClientError,
)
from nightjar.v1 import event_pb2, item_pb2
from services.settings import Settings

pytestmark = pytest.mark.kafka
NUM_PARTITIONS = 4
START = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.fixture
def topic(kafka_servers: str) -> str:
    """A topic of its own for each test."""
    return new_topic(kafka_servers)


def new_topic(servers: str) -> str:
    name = f"events-{uuid.uuid4().hex}"
    admin = KafkaAdminClient(bootstrap_servers=servers)
    try:
        admin.create_topics({name: {"num_partitions": NUM_PARTITIONS, "replication_factor": 1}})
    finally:
        admin.close()
    return name


def read(servers: str, topic: str) -> Iterator[Any]:
    """Every record of a topic that was there when reading began, in order within a partition."""
    partitions = [TopicPartition(topic, number) for number in range(NUM_PARTITIONS)]
    consumer = KafkaConsumer(bootstrap_servers=servers, enable_auto_commit=False)
    try:
        consumer.assign(partitions)
        consumer.seek_to_beginning()
        ends = consumer.end_offsets(partitions)
        while any(consumer.position(partition) < end for partition, end in ends.items()):
            for records in consumer.poll(timeout_ms=1_000).values():
                yield from records
    finally:
        consumer.close()


def held_up_until(go_on: threading.Event) -> Callable[[DeliveryReport], None]:
    """A callback that holds up the producer's I/O thread, as a slow Kafka would."""

    def wait(_: DeliveryReport) -> None:
        go_on.wait(30)

    return wait


def event(number: int, user_id: str = "u") -> Event:
    return Event(user_id, str(number), "view", event_id=f"e{number}", event_time=START + timedelta(seconds=number))


def test_every_acknowledged_event_can_be_read_where_its_report_says(kafka_servers: str, topic: str) -> None:
    """2,000 events of 50 users: each report's place holds that event, keyed by its user, in protobuf; none is lost."""
    reports: list[DeliveryReport] = []
    sent = [event(number, user_id=f"user-{number % 50}") for number in range(2_000)]
    with EventProducer(kafka_servers, events_topic=topic, on_delivery=reports.append) as producer:
        deliveries = [producer.send(one) for one in sent]
    promised = {delivery.result(0).record_id: delivery.result(0) for delivery in deliveries}
    assert {report.record_id: report for report in reports} == promised
    assert len(reports) == len(sent)

    messages = {one.event_id: one.to_proto() for one in sent}
    num_read = 0
    for record in read(kafka_servers, topic):
        message = event_pb2.Event.FromString(record.value)
        report = promised[message.event_id]
        assert message == messages[message.event_id]
        assert (report.topic, report.partition, report.offset) == (topic, record.partition, record.offset)
        assert record.key == message.user_id.encode()
        assert list(record.headers) == [("content-type", b"application/x-protobuf")]
        num_read += 1
    assert num_read == len(sent)


def test_one_users_events_stay_in_order(kafka_servers: str, topic: str) -> None:
    """Whatever shares their batches, and over several requests."""
    with EventProducer(kafka_servers, events_topic=topic, linger_s=0) as producer:
        for number in range(3_000):
            producer.send(event(number, user_id=f"user-{number % 7}"))
            if number % 1_000 == 0:
                producer.flush()
    seen: dict[bytes, list[int]] = defaultdict(list)
    partitions: dict[bytes, set[int]] = defaultdict(set)
    for record in read(kafka_servers, topic):
        seen[record.key].append(int(event_pb2.Event.FromString(record.value).item_id))
        partitions[record.key].add(record.partition)
    assert {key: len(places) for key, places in partitions.items()} == dict.fromkeys(seen, 1)
    assert sum(map(len, seen.values())) == 3_000
    assert all(numbers == sorted(numbers) for numbers in seen.values())


def test_items_are_keyed_by_item(kafka_servers: str, topic: str) -> None:
    """The topic is compacted: one key an item keeps its newest state."""
    item = Item("50", "Star Wars", ("Action", "Sci-Fi"), update_time=START)
    with EventProducer(kafka_servers, items_topic=topic) as producer:
        report = producer.send_item(item).result(10)
    (record,) = read(kafka_servers, topic)
    assert (record.key, report.record_id) == (b"50", "50")
    assert item_pb2.Item.FromString(record.value) == item.to_proto()


def test_a_message_is_sent_as_it_is(kafka_servers: str, topic: str) -> None:
    """Who already has the wire's message need not take it apart."""
    message = event(1).to_proto()
    with EventProducer(kafka_servers, events_topic=topic) as producer:
        producer.send(message).result(10)
    (record,) = read(kafka_servers, topic)
    assert event_pb2.Event.FromString(record.value) == message


def test_a_bad_event_raises_and_the_next_one_is_sent(kafka_servers: str, topic: str) -> None:
    with EventProducer(kafka_servers, events_topic=topic) as producer:
        with pytest.raises(InvalidField, match="user_id is empty"):
            producer.send(Event("", "i", "view"))
        producer.send(event(1)).result(10)
    assert len(list(read(kafka_servers, topic))) == 1


def test_a_full_buffer_raises_and_keeps_what_it_took(kafka_servers: str, topic: str) -> None:
    """While the I/O thread is held up the buffer fills, says so, and loses nothing of what it had accepted."""
    go_on = threading.Event()
    producer = EventProducer(
        kafka_servers,
        events_topic=topic,
        on_delivery=held_up_until(go_on),
        max_buffer_bytes=20_000,
        max_block_s=0.2,
    )
    taken = 0

    def fill() -> None:
        nonlocal taken
        while taken < 100:
            producer.send(event(taken))
            taken += 1

    with producer:
        with pytest.raises(BufferFull, match="20000 bytes"):
            fill()
        go_on.set()
        producer.flush(30)
        producer.send(event(taken))
    assert 1 <= taken < 20
    ids = {event_pb2.Event.FromString(record.value).event_id for record in read(kafka_servers, topic)}
    assert ids == {f"e{number}" for number in range(taken + 1)}


def test_a_flush_tells_how_many_have_no_report(kafka_servers: str, topic: str) -> None:
    go_on = threading.Event()
    with EventProducer(kafka_servers, events_topic=topic, on_delivery=held_up_until(go_on)) as producer:
        producer.send(event(1))
        with pytest.raises(FlushTimedOut, match="1 records had no report"):
            producer.flush(0.1)
        go_on.set()


def test_a_closed_producer_takes_nothing(kafka_servers: str, topic: str) -> None:
    """Closing twice is fine; an event after it would be lost, so it raises."""
    producer = EventProducer(kafka_servers, events_topic=topic)
    producer.close()
    producer.close()
    with pytest.raises(NightjarClientError, match="closed"):
        producer.send(event(1))


def test_a_missing_topic_is_named(kafka_servers: str) -> None:
    """It is not created by accident, with the wrong number of partitions."""
    with (
        EventProducer(kafka_servers, events_topic="no-such-topic", max_block_s=0.5) as producer,
        pytest.raises(BrokerUnreachable, match="no-such-topic"),
    ):
        producer.send(event(1))


def test_a_missing_broker_is_named() -> None:
    with pytest.raises(BrokerUnreachable, match=r"127\.0\.0\.1:1 "):
        EventProducer("127.0.0.1:1", connect_timeout_s=0.3)


def test_an_error_of_the_block_is_the_one_that_is_raised(kafka_servers: str, topic: str) -> None:
    """And what was sent before it is delivered all the same."""

    def fail_after_sending() -> None:
        with EventProducer(kafka_servers, events_topic=topic) as producer:
            producer.send(event(1))
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        fail_after_sending()
    assert len(list(read(kafka_servers, topic))) == 1


def test_a_lost_broker_fails_every_record_aloud(tmp_path: Path, kafka_servers: str) -> None:
    """Each record ends with a report; who keeps none learns of the loss from flush or close."""
    node = kafka.KafkaNode(tmp_path, any_free(), any_free(), heap_mib=256)
    class_path = kafka_jars.class_path(Settings().cache_folder)
    reports: list[DeliveryReport] = []
    with running(kafka.program(node, find_java(), class_path, tmp_path / "kafka.log")):
        topic = new_topic(node.bootstrap_servers)
        impatient = EventProducer(
            node.bootstrap_servers, events_topic=topic, delivery_timeout_s=1.0, on_delivery=reports.append
        )
        patient = EventProducer(node.bootstrap_servers, events_topic=topic)
        for producer in (impatient, patient):
            producer.send(event(1)).result(10)

    impatient.send(event(2))
    with pytest.raises(DeliveryFailed, match="1 records failed; the first: e2 did not reach the topic"):
        impatient.flush(20)
    assert [report.delivered for report in reports] == [True, False]
    impatient.close()

    delivery = patient.send(event(3))
    with pytest.raises(FlushTimedOut, match="1 records"):
        patient.close(timeout_s=0.2)
    with pytest.raises(DeliveryFailed, match="e3 did not reach"):
        delivery.result(10)
