"""The RecordSource and DeadLetters ports: order within a partition, where reading starts, and what a letter carries."""

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager

import pytest
from kafka import KafkaConsumer, KafkaProducer, TopicPartition

from services.adapters.kafka_admin import ensure_topics, topic_specs
from services.adapters.kafka_cluster import group_lag
from services.adapters.kafka_source import KafkaDeadLetters, KafkaRecordSource
from services.domain.errors import BrokerDown
from services.domain.ports import RecordSource
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from tests.fakes.streams import FakeRecordSource, records_of
from tests.waiting import wait_until


class Listener:
    """Says where to start, and remembers what it was told."""

    def __init__(self, start: Mapping[int, int] | None = None) -> None:
        self._start = start or {}
        self.assigned_partitions: list[Partition] = []

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        self.assigned_partitions += partitions
        return {each: self._start[each.number] for each in partitions if each.number in self._start}

    def revoked(self, partitions: Sequence[Partition]) -> None: ...


OpenSource = Callable[[Listener], RecordSource]
VALUES = [f"value {n}".encode() for n in range(7)]


@contextmanager
def kafka_topic(servers: str) -> Iterator[tuple[str, str]]:
    """A topic of one partition that holds VALUES; and a group's name."""
    name = uuid.uuid4().hex
    ensure_topics(servers, topic_specs(name, f"items-{name}", f"users-{name}", 1))
    producer = KafkaProducer(bootstrap_servers=servers, metrics_enabled=False)
    for value in VALUES:
        producer.send(name, key=b"ada", value=value, headers=[("Content-Type", b"application/json")])
    producer.flush()
    yield name, f"group-{name}"
    producer.close()


@pytest.fixture(params=["fake", pytest.param("kafka", marks=pytest.mark.kafka)])
def open_source(request: pytest.FixtureRequest) -> Iterator[OpenSource]:
    """Opens a source on a topic that holds VALUES; opening again is a restart."""
    if request.param == "fake":
        yield lambda listener: FakeRecordSource(records_of(VALUES), listener)
        return
    servers = request.getfixturevalue("kafka_servers")
    with kafka_topic(servers) as (topic, group):
        yield lambda listener: KafkaRecordSource(servers, group, [topic], listener)


def read(source: RecordSource, count: int) -> list[Record]:
    found: list[Record] = []

    def enough() -> bool:
        found.extend(source.poll(0.2))
        return len(found) >= count

    wait_until(enough, timeout_s=30, what=f"{count} records")
    return found


def test_records_come_in_order_from_the_start(open_source: OpenSource) -> None:
    listener = Listener()
    source = open_source(listener)
    records = read(source, len(VALUES))
    source.close()
    assert [record.value for record in records] == VALUES
    assert [record.offset for record in records] == list(range(len(VALUES)))
    assert listener.assigned_partitions == [records[0].partition]


def test_the_listener_says_where_reading_starts(open_source: OpenSource) -> None:
    """The log's progress, not the group's committed offset, is the truth."""
    first = open_source(Listener())
    partition = read(first, len(VALUES))[0].partition
    first.commit({partition: len(VALUES)})
    first.close()
    again = open_source(Listener({0: 4}))
    records = read(again, 3)
    again.close()
    assert [record.offset for record in records] == [4, 5, 6]


@pytest.mark.kafka
def test_a_listener_without_a_word_goes_on_from_the_committed_offset(kafka_servers: str) -> None:
    with kafka_topic(kafka_servers) as (topic, group):
        first = KafkaRecordSource(kafka_servers, group, [topic], Listener())
        read(first, len(VALUES))
        first.commit({Partition(topic, 0): 5})
        first.close()
        assert group_lag(kafka_servers, group, topic) == 2
        again = KafkaRecordSource(kafka_servers, group, [topic], Listener())
        records = read(again, 2)
        again.close()
    assert [record.offset for record in records] == [5, 6]
    assert records[0].key == b"ada"
    assert records[0].content_type == "application/json"


@pytest.mark.kafka
def test_a_dead_letter_is_the_record_as_it_was_with_its_reason_and_origin(kafka_servers: str) -> None:
    with kafka_topic(kafka_servers) as (topic, _):
        record = Record(Partition(topic, 3), 17, b"\x00broken", "text/x", b"ada")
        letters = KafkaDeadLetters(kafka_servers)
        letters.send([DeadLetter(record, DeadReason.MALFORMED, "not an Event: ü")])
        letters.close()
        consumer = KafkaConsumer(bootstrap_servers=kafka_servers, enable_auto_commit=False, metrics_enabled=False)
        partition = TopicPartition(topic + ".dlq", 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        (messages,) = wait_until(lambda: consumer.poll(timeout_ms=200), what="a dead letter").values()
        consumer.close()
    (message,) = messages
    assert (message.key, message.value) == (b"ada", b"\x00broken")
    assert {name: value.decode() for name, value in message.headers} == {
        "reason": "malformed",
        "detail": "not an Event: ü",
        "source-topic": topic,
        "source-partition": "3",
        "source-offset": "17",
        "content-type": "text/x",
    }


@pytest.mark.kafka
def test_a_record_as_large_as_a_broker_takes_is_cut_and_not_stuck(kafka_servers: str) -> None:
    """Its letter is larger than itself; refused for ever, it would hold up everything behind it."""
    with kafka_topic(kafka_servers) as (topic, _):
        record = Record(Partition(topic, 0), 0, b"x" * 1_048_500, key=b"k" * 9_000)
        letters = KafkaDeadLetters(kafka_servers)
        letters.send([DeadLetter(record, DeadReason.OVERSIZED, "too large")])
        letters.close()
        consumer = KafkaConsumer(bootstrap_servers=kafka_servers, enable_auto_commit=False, metrics_enabled=False)
        partition = TopicPartition(topic + ".dlq", 0)
        consumer.assign([partition])
        consumer.seek_to_beginning(partition)
        ((message,),) = wait_until(lambda: consumer.poll(timeout_ms=200), what="a dead letter").values()
        consumer.close()
    assert 0 < len(message.value) < 1_048_500
    assert dict(message.headers)["value-size"] == b"1048500"


@pytest.mark.kafka
def test_a_group_of_one_joins_once_and_gets_its_partitions(kafka_servers: str) -> None:
    """Joining before the topic's metadata is there means joining twice, and the second join may never be finished."""
    with kafka_topic(kafka_servers) as (topic, group):
        listener = Listener()
        source = KafkaRecordSource(kafka_servers, group, [topic], listener)
        read(source, len(VALUES))
        source.close()
    assert listener.assigned_partitions == [Partition(topic, 0)]


def test_no_broker_is_one_clear_error() -> None:
    with pytest.raises(BrokerDown, match=r"127\.0\.0\.1:1"):
        KafkaRecordSource("127.0.0.1:1", "group", ["topic"], Listener(), connect_timeout_s=0.5)


def test_a_paused_source_gives_nothing_and_loses_nothing(open_source: OpenSource) -> None:
    """Back-pressure: the log is away, the membership goes on."""
    source = open_source(Listener())
    first = read(source, 1)
    source.pause()
    assert [record for _ in range(3) for record in source.poll(0.05)] == []
    source.resume()
    rest = read(source, len(VALUES) - len(first))
    source.close()
    assert [record.value for record in [*first, *rest]] == VALUES


def test_a_seek_reads_again_from_there(open_source: OpenSource) -> None:
    source = open_source(Listener())
    partition = read(source, len(VALUES))[0].partition
    source.seek({partition: 5, Partition("not mine", 3): 0})
    records = read(source, 2)
    source.close()
    assert [record.offset for record in records] == [5, 6]


@pytest.mark.kafka
def test_partitions_that_come_during_a_pause_wait_too(kafka_servers: str) -> None:
    with kafka_topic(kafka_servers) as (topic, group):
        source = KafkaRecordSource(kafka_servers, group, [topic], listener := Listener())
        source.pause()
        polled: list[Record] = []

        def joined() -> bool:
            polled.extend(source.poll(0.2))
            return bool(listener.assigned_partitions)

        wait_until(joined, timeout_s=30, what="the partition")
        polled.extend(source.poll(0.5))
        assert polled == []
        source.resume()
        assert len(read(source, len(VALUES))) == len(VALUES)
        source.close()
