"""The gateway's way to Kafka, on the fake and on a real broker: reports, refusals, and order."""

import threading
import uuid
from collections.abc import Iterator
from datetime import UTC, datetime
from functools import partial

import pytest
from kafka import KafkaConsumer, TopicPartition

from deploy.embedded.ports import any_free
from nightjar import EventProducer
from nightjar.v1 import event_pb2
from services.adapters.kafka_admin import TopicSpec, ensure_topics
from services.domain.errors import BrokerDown
from services.ingest.gateway.kafka_sender import KafkaSender
from services.ingest.gateway.publishing import Sender
from tests.fakes.event_sender import FakeEventSender
from tests.waiting import wait_until


def event(number: int) -> event_pb2.Event:
    message = event_pb2.Event(event_id=f"e{number}", user_id="ada", item_id="book", type="view")
    message.event_time.FromDatetime(datetime.now(UTC))
    return message


@pytest.fixture(params=["fake", pytest.param("kafka", marks=pytest.mark.kafka)])
def sender(request: pytest.FixtureRequest) -> Iterator[Sender]:
    if request.param == "fake":
        yield FakeEventSender()
        return
    servers, topic = request.getfixturevalue("kafka_servers"), f"events-{uuid.uuid4().hex}"
    ensure_topics(servers, [TopicSpec(topic, 2)])
    real = KafkaSender(partial(EventProducer, servers, events_topic=topic))
    assert real.connect(threading.Event())
    yield real
    real.close(5)


@pytest.fixture(params=["fake", "kafka"])
def lost_sender(request: pytest.FixtureRequest) -> Sender:
    """One that has no broker."""
    if request.param == "fake":
        fake = FakeEventSender()
        fake.is_down = True
        return fake
    return KafkaSender(partial(EventProducer, f"127.0.0.1:{any_free()}"))


def test_each_event_is_reported_stored_once(sender: Sender) -> None:
    reports: list[str] = []
    for number in range(20):
        sender.send(event(number), reports.append)
    wait_until(lambda: len(reports) == 20)
    assert reports == [""] * 20


def test_without_a_broker_an_event_is_refused_without_a_report(lost_sender: Sender) -> None:
    reports: list[str] = []
    with pytest.raises(BrokerDown):
        lost_sender.send(event(0), reports.append)
    assert reports == []


@pytest.mark.kafka
def test_what_is_reported_can_be_read_by_everyone(kafka_servers: str) -> None:
    """Keyed by user, in protobuf, said so in the header, with fields this version does not know."""
    topic, reports = f"events-{uuid.uuid4().hex}", list[str]()
    ensure_topics(kafka_servers, [TopicSpec(topic, 1)])
    sender = KafkaSender(partial(EventProducer, kafka_servers, events_topic=topic))
    sender.connect(threading.Event())
    newer = event_pb2.Event.FromString(event(1).SerializeToString() + b"\xfa\x06\x03new")  # field 111
    sender.send(newer, reports.append)
    wait_until(lambda: reports == [""])
    sender.close(5)
    consumer = KafkaConsumer(bootstrap_servers=kafka_servers, enable_auto_commit=False, metrics_enabled=False)
    consumer.assign([TopicPartition(topic, 0)])
    consumer.seek_to_beginning()
    ((record,),) = wait_until(lambda: consumer.poll(timeout_ms=200)).values()
    consumer.close()
    assert (record.key, dict(record.headers)) == (b"ada", {"content-type": b"application/x-protobuf"})
    assert record.value == newer.SerializeToString()
    assert b"new" in record.value


def test_a_stop_ends_the_search_for_a_broker() -> None:
    stop = threading.Event()
    sender = KafkaSender(partial(EventProducer, f"127.0.0.1:{any_free()}", connect_timeout_s=0.2))
    threading.Timer(0.3, stop.set).start()
    assert not sender.connect(stop)
    sender.close(1)
