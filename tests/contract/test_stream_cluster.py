"""The ports of operating: StreamCluster, TopicReader and RecordSender, on brokers in memory and on Kafka."""

import tracemalloc
import uuid
from collections.abc import Callable, Iterator, Mapping
from itertools import count, islice
from typing import Protocol

import pytest

from services.adapters.kafka_admin import TopicSpec, ensure_topics
from services.adapters.kafka_cluster import KafkaCluster, group_lag
from services.adapters.kafka_letters import KafkaLetters, letter_of
from services.adapters.kafka_reader import KafkaReader
from services.adapters.kafka_sender import KafkaSender
from services.adapters.kafka_source import KafkaDeadLetters, KafkaRecordSource
from services.cli.dlq.replay import in_batches
from services.domain.errors import BrokerDown, InvalidRequest
from services.domain.ports import RecordSender, StreamCluster, TopicReader
from services.domain.stored_records import OffsetRange, Position, StoredRecord
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from services.ingest.partitions import FromCommittedOffsets
from tests.fakes.broker import FakeBroker
from tests.waiting import wait_until

TIME_US = 1_767_225_600_000_000
LONG_S = 60.0


class Broker(StreamCluster, TopicReader, RecordSender, Protocol):
    """All three at once, as the fake is."""


class RealBroker(KafkaCluster, KafkaReader, KafkaSender):
    """Kafka behind one object, each method of the adapter whose port it is."""

    def __init__(self, servers: str) -> None:
        KafkaCluster.__init__(self, servers)
        KafkaReader.__init__(self, servers)
        KafkaSender.__init__(self, servers)

    def close(self) -> None:
        KafkaCluster.close(self)
        KafkaReader.close(self)
        KafkaSender.close(self)


@pytest.fixture(scope="module")
def real_broker(kafka_servers: str) -> Iterator[RealBroker]:
    broker = RealBroker(kafka_servers)
    yield broker
    broker.close()


@pytest.fixture(params=["fake", pytest.param("kafka", marks=pytest.mark.kafka)])
def broker(request: pytest.FixtureRequest, topic: str) -> Broker:
    if request.param == "fake":
        return FakeBroker([Partition(topic, 0), Partition(topic, 1)])
    ensure_topics(request.getfixturevalue("kafka_servers"), [TopicSpec(topic, 2)])
    real: RealBroker = request.getfixturevalue("real_broker")
    return real


@pytest.fixture
def topic() -> str:
    return f"operated-{uuid.uuid4().hex}"


def fill(broker: Broker, topic: str, num_records: int = 5) -> Partition:
    """Records of one second after another, all in one partition, whose number is told."""
    partition = Partition(topic, 1)
    broker.send(
        [
            (Record(partition, -1, b"%d" % n, "text/plain", b"ada", TIME_US + n * 1_000_000), {"number": b"%d" % n})
            for n in range(num_records)
        ],
        LONG_S,
    )
    return partition


def test_a_topics_partitions_are_told_and_a_missing_topic_is_left_out(broker: Broker, topic: str) -> None:
    assert broker.partitions([topic, "no-such-topic"]) == {topic: [Partition(topic, 0), Partition(topic, 1)]}


def test_ranges_are_what_is_kept(broker: Broker, topic: str) -> None:
    filled = fill(broker, topic)
    assert broker.ranges([Partition(topic, 0), filled]) == {
        Partition(topic, 0): OffsetRange(0, 0),
        filled: OffsetRange(0, 5),
    }


def test_what_was_sent_is_read_as_it_was(broker: Broker, topic: str) -> None:
    filled = fill(broker, topic)
    first, *_ = broker.read({filled: OffsetRange(0, 5)})
    assert first.record == Record(filled, 0, b"0", "text/plain", b"ada", TIME_US)
    assert first.headers["number"] == b"0"
    assert first.position == Position(filled, 0)


def test_what_could_arrive_too_late_is_not_sent(broker: Broker, topic: str) -> None:
    records = [(Record(Partition(topic, 0), -1, b"x"), dict[str, bytes]()) for _ in range(3)]
    assert broker.send(records, 0.0) == 0
    assert broker.send(records[:2], LONG_S) == 2
    assert broker.ranges([Partition(topic, 0)]) == {Partition(topic, 0): OffsetRange(0, 2)}


@pytest.mark.kafka
def test_a_slow_sender_ends_in_time_for_what_it_began(kafka_servers: str, real_broker: RealBroker, topic: str) -> None:
    """Each look at the clock finds it 8 s on: a record begun after 24 s could block and be delivered within 60 s."""
    ensure_topics(kafka_servers, [TopicSpec(topic, 1)])
    records = [(Record(Partition(topic, 0), -1, b"%d" % n), dict[str, bytes]()) for n in range(9)]
    seconds = count(0.0, 8.0)
    with KafkaSender(kafka_servers, lambda: next(seconds)) as sender:
        assert sender.send(records, LONG_S) == 3
    assert [each.record.value for each in real_broker.read({Partition(topic, 0): OffsetRange(0, 3)})] == [
        b"0",
        b"1",
        b"2",
    ]
    assert real_broker.ranges([Partition(topic, 0)]) == {Partition(topic, 0): OffsetRange(0, 3)}


def test_a_range_is_read_and_no_more(broker: Broker, topic: str) -> None:
    filled = fill(broker, topic)
    ranges = {filled: OffsetRange(1, 3), Partition(topic, 0): OffsetRange(0, 0)}
    assert [each.record.offset for each in broker.read(ranges)] == [1, 2]
    assert list(broker.read({})) == []


def test_following_goes_on_with_what_comes(broker: Broker, topic: str) -> None:
    filled = fill(broker, topic)
    turns = broker.follow({filled: 3}, wait_s=0.2)
    found: list[int] = []

    def reached(count: int) -> bool:
        found.extend(each.record.offset for each in next(turns))
        return len(found) >= count

    wait_until(lambda: reached(2), timeout_s=20)
    fill(broker, topic, 1)
    wait_until(lambda: reached(3), timeout_s=20)
    assert found == [3, 4, 5]


def test_a_time_names_the_first_offset_of_it(broker: Broker, topic: str) -> None:
    filled = fill(broker, topic)
    for time_us, offset in ((0, 0), (TIME_US + 2_000_000, 2), (TIME_US + 2_000_001, 3), (TIME_US + 9_000_000, 5)):
        assert broker.offsets_at(time_us, [filled]) == {filled: offset}


def test_what_is_deleted_is_gone_and_the_rest_stays(broker: Broker, topic: str) -> None:
    filled = fill(broker, topic)
    broker.delete_before({filled: 3})
    assert broker.ranges([filled]) == {filled: OffsetRange(3, 5)}
    assert [each.record.offset for each in broker.read({filled: OffsetRange(0, 5)})] == [3, 4]


def test_a_key_has_one_place(broker: Broker, topic: str) -> None:
    places = {broker.place(topic, b"user-%d" % n) for n in range(20)}
    assert places == {Partition(topic, 0), Partition(topic, 1)}
    assert broker.place(topic, b"user-7") == broker.place(topic, b"user-7")


def test_a_group_nobody_knows_has_neither_members_nor_offsets(broker: Broker, topic: str) -> None:
    assert broker.num_members([f"group-{topic}"]) == {f"group-{topic}": 0}
    assert broker.committed(f"group-{topic}", [Partition(topic, 0)]) == {}


@pytest.mark.kafka
def test_a_group_at_work_has_members_and_offsets(kafka_servers: str, real_broker: RealBroker, topic: str) -> None:
    ensure_topics(kafka_servers, [TopicSpec(topic, 2)])
    filled, group = fill(real_broker, topic), f"group-{topic}"
    source = KafkaRecordSource(kafka_servers, group, [topic], FromCommittedOffsets())
    wait_until(lambda: source.poll(0.2), timeout_s=30)
    source.commit({filled: 4})
    assert real_broker.num_members([group]) == {group: 1}
    assert real_broker.committed(group, [filled, Partition(topic, 0)]) == {filled: 4}
    source.close()
    assert real_broker.num_members([group]) == {group: 0}


@pytest.mark.kafka
def test_a_group_that_is_ahead_of_a_topic_made_anew_lags_by_nothing(
    kafka_servers: str, real_broker: RealBroker, topic: str
) -> None:
    ensure_topics(kafka_servers, [TopicSpec(topic, 2)])
    filled, group = fill(real_broker, topic), f"group-{topic}"
    source = KafkaRecordSource(kafka_servers, group, [topic], FromCommittedOffsets())
    wait_until(lambda: source.poll(0.2), timeout_s=30)
    source.commit({filled: 500})
    source.close()
    assert group_lag(kafka_servers, group, topic) == 0


@pytest.mark.kafka
def test_settings_in_force_are_told_also_those_nobody_set(
    kafka_servers: str, real_broker: RealBroker, topic: str
) -> None:
    ensure_topics(kafka_servers, [TopicSpec(topic, 1, {"cleanup.policy": "compact"})])
    settings = real_broker.topic_settings([topic])[topic]
    assert settings["cleanup.policy"] == "compact"
    assert "retention.ms" in settings


@pytest.mark.kafka
def test_a_compacted_topic_gives_up_nothing_by_offset(kafka_servers: str, real_broker: RealBroker, topic: str) -> None:
    ensure_topics(kafka_servers, [TopicSpec(topic, 2, {"cleanup.policy": "compact"})])
    filled = fill(real_broker, topic)
    with pytest.raises(InvalidRequest, match="is compacted"):
        real_broker.delete_before({filled: 3})


@pytest.mark.kafka
def test_a_dead_letter_is_read_as_it_was_written(kafka_servers: str, real_broker: RealBroker, topic: str) -> None:
    """The reader knows every header that the writer gives, and letters come newest first."""
    ensure_topics(kafka_servers, [TopicSpec(f"{topic}.dlq", 1)])
    record = Record(Partition(topic, 3), 17, b"x" * 1_000_000, "text/plain", b"ada")
    letters = KafkaDeadLetters(kafka_servers)
    letters.send([DeadLetter(record, DeadReason.OVERSIZED, "too ü"), DeadLetter(record, DeadReason.MALFORMED, "")])
    letters.close()
    desk = KafkaLetters(real_broker, real_broker)
    newest, oldest = desk.newest_first(f"{topic}.dlq")
    assert (newest.reason, oldest.reason) == ("malformed", "oversized")
    assert oldest.source == Position(Partition(topic, 3), 17)
    assert (oldest.detail, oldest.key, oldest.content_type) == ("too ü", b"ada", "text/plain")
    assert (oldest.full_size_bytes, len(oldest.value or b"")) == (1_000_000, 900_000)
    assert desk.find(oldest.position) == oldest
    assert desk.find(Position(oldest.position.partition, 2)) is None


def test_a_foreign_record_among_dead_letters_says_little_and_breaks_nothing() -> None:
    broker = FakeBroker([Partition("events.dlq", 0)])
    broker.append(Record(Partition("events.dlq", 0), 0, b"x"), {"source-offset": b"many", "reason": b"\xff"})
    (stored,) = broker.read({Partition("events.dlq", 0): OffsetRange(0, 1)})
    letter = letter_of(stored)
    assert (letter.source, letter.full_size_bytes, letter.detail) == (None, None, "")


def test_a_broker_that_is_away_is_one_clear_error() -> None:
    with pytest.raises(BrokerDown, match=r"127\.0\.0\.1:1"):
        KafkaCluster("127.0.0.1:1")


def test_letters_of_many_chunks_come_in_order() -> None:
    broker, partition = FakeBroker([Partition("events.dlq", 0)]), Partition("events.dlq", 0)
    for number in range(2_500):
        broker.append(Record(partition, 0, b"%d" % number))
    broker.delete_before({partition: 100})
    values = [letter.value for letter in KafkaLetters(broker, broker).newest_first("events.dlq")]
    assert values == [b"%d" % number for number in reversed(range(100, 2_500))]
    assert len(list(islice(KafkaLetters(broker, broker).newest_first("no-such-topic"), 1))) == 0


def test_letters_of_many_partitions_come_by_when_they_were_written() -> None:
    partitions = [Partition("events.dlq", number) for number in range(3)]
    broker = FakeBroker(partitions)
    for number in range(300):
        partition = partitions[number % 7 % 3]
        broker.append(Record(partition, 0, b"%d" % number, timestamp_us=TIME_US + number * 1_000_000))
    values = [letter.value for letter in KafkaLetters(broker, broker).newest_first("events.dlq")]
    assert values == [b"%d" % number for number in reversed(range(300))]


class LargeLetters(FakeBroker):
    """Gives every value anew, as a broker does, and counts what it gave."""

    num_read = 0

    def read(self, ranges: Mapping[Partition, OffsetRange]) -> Iterator[StoredRecord]:
        for stored in super().read(ranges):
            self.num_read += 1
            yield StoredRecord(stored.record._replace(value=bytes(900_000)), stored.headers)


@pytest.fixture
def large() -> LargeLetters:
    partition = Partition("events.dlq", 0)
    broker = LargeLetters([partition])
    for number in range(100):
        broker.append(Record(partition, 0, b"%d" % number))
    return broker


def peak_bytes(work: Callable[[], object]) -> int:
    tracemalloc.start()
    try:
        work()
        return tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()


def test_twenty_large_letters_are_shown_without_holding_all_the_others(large: LargeLetters) -> None:
    shown: list[int] = []

    def show() -> None:
        letters = list(islice(KafkaLetters(large, large).newest_first("events.dlq"), 20))
        shown.extend(letter.position.offset for letter in letters)

    assert peak_bytes(show) < 20 * 900_000 + 10_000_000
    assert shown == list(reversed(range(80, 100)))
    assert large.num_read < 60


def test_all_large_letters_are_looked_through_in_little_memory(large: LargeLetters) -> None:
    offsets: list[int] = []
    look = KafkaLetters(large, large)
    peak = peak_bytes(lambda: offsets.extend(each.position.offset for each in look.newest_first("events.dlq")))
    assert peak < 12_000_000
    assert offsets == list(reversed(range(100)))


def test_large_letters_are_sent_again_a_few_at_a_time(large: LargeLetters) -> None:
    partition = Partition("events.dlq", 0)
    sizes: list[int] = []
    stored = large.read({partition: OffsetRange(0, 100)})
    peak = peak_bytes(lambda: sizes.extend(len(batch) for batch in in_batches(map(letter_of, stored))))
    assert sum(sizes) == 100
    assert max(sizes) == 9
    assert peak < 20_000_000
