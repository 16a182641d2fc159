"""Kafka as a source of records (one consumer group) and as the place of dead letters."""

import time
from collections.abc import Mapping, Sequence
from functools import partial
from itertools import repeat
from typing import Any, Final

import structlog
from kafka import ConsumerRebalanceListener, KafkaConsumer, KafkaProducer, OffsetAndMetadata, TopicPartition
from kafka.errors import KafkaError

from services.domain.dead_letters import DEAD_LETTER_SUFFIX
from services.domain.errors import BrokerDown, NotRunning
from services.domain.ports import PartitionListener
from services.domain.streams import DeadLetter, Partition, Record

log = structlog.get_logger()

CONTENT_TYPE: Final = "content-type"
# Longest pause between tries to reach a broker; the library's is 30 s. Larger: one that is back is found late.
RECONNECT_BACKOFF_MS: Final = 1_000

# Larger: more memory between polls; smaller: more Python per record in the client.
_POLL_RECORDS: Final = 5_000
# A group waits up to its session timeout for a member that was killed. Larger: a stuck writer is noticed later.
_REBALANCE_LIMIT_S: Final = 60.0
# A dead letter is its record and headers, and must fit where the record fitted: brokers take 1 MiB as they come.
_MAX_LETTER_BYTES: Final = 900_000
_MAX_LETTER_KEY_BYTES: Final = 8_192
# How long the broker may hold a fetch back for more records. It wakes for the first byte, so this is an idle poll.
_FETCH_WAIT_MS: Final = 500


class KafkaRecordSource:
    """Implements the RecordSource port; one instance for one thread."""

    def __init__(
        self,
        bootstrap_servers: str,
        group: str,
        topics: Sequence[str],
        listener: PartitionListener,
        connect_timeout_s: float = 30.0,
    ) -> None:
        """Joins the group; raises BrokerDown when no broker answers in time."""
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap_servers.split(","),
                group_id=group,
                client_id=group,
                enable_auto_commit=False,
                auto_offset_reset="earliest",
                allow_auto_create_topics=False,
                max_poll_records=_POLL_RECORDS,
                fetch_max_wait_ms=_FETCH_WAIT_MS,
                session_timeout_ms=10_000,
                heartbeat_interval_ms=2_000,
                bootstrap_timeout_ms=int(connect_timeout_s * 1_000),
                reconnect_backoff_max_ms=RECONNECT_BACKOFF_MS,
                metrics_enabled=False,
            )
        except KafkaError as error:
            raise _no_broker(bootstrap_servers, error) from error
        self._rebalance = _Rebalance(self._consumer, listener)
        try:
            self._consumer.subscribe(topics=list(topics), listener=self._rebalance)
            # Joining before the subscribed topics' metadata is known makes kafka-python 3.0.12 join twice, and a second
            # join that outlasts a poll is never finished: no partitions, no heartbeats, no error. So it is asked first.
            for topic in topics:
                self._consumer.partitions_for_topic(topic)
        except KafkaError as error:
            raise _no_broker(bootstrap_servers, error) from error

    def poll(self, timeout_s: float) -> Sequence[Record]:
        try:
            by_partition = self._consumer.poll(timeout_ms=int(timeout_s * 1_000))
        except KafkaError as error:
            raise BrokerDown(
                f"Kafka cannot be read ({error}); see that it runs and that this group may read."
            ) from error
        self._rebalance.check_it_ends()
        return [record for messages in by_partition.values() for record in _to_records(messages)]

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        mine = self._consumer.assignment()
        for partition, offset in offsets.items():
            if to_kafka(partition) in mine:
                self._consumer.seek(to_kafka(partition), offset)

    def pause(self) -> None:
        self._rebalance.paused = True
        self._consumer.pause(*self._consumer.assignment())

    def resume(self) -> None:
        self._rebalance.paused = False
        self._consumer.resume(*self._consumer.assignment())

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        try:
            self._consumer.commit(
                {to_kafka(partition): OffsetAndMetadata(offset, "", -1) for partition, offset in offsets.items()}
            )
        except KafkaError as error:
            log.warning("offset_commit_failed", error=str(error), partitions=[str(partition) for partition in offsets])

    def close(self) -> None:
        self._consumer.close(autocommit=False)


class KafkaDeadLetters:
    """Implements the DeadLetters port: the record as it was, to `<topic>.dlq`, the reason in its headers.

    A value too large to be sent on is cut, and the header `value-size` says how large it was.
    """

    def __init__(self, bootstrap_servers: str) -> None:
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap_servers.split(","),
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                reconnect_backoff_max_ms=RECONNECT_BACKOFF_MS,
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        except KafkaError as error:
            raise _no_broker(bootstrap_servers, error) from error

    def send(self, letters: Sequence[DeadLetter]) -> None:
        try:
            sent = [
                self._producer.send(
                    letter.record.partition.topic + DEAD_LETTER_SUFFIX,
                    key=(letter.record.key or b"")[:_MAX_LETTER_KEY_BYTES] or None,
                    value=None if letter.record.value is None else letter.record.value[:_MAX_LETTER_BYTES],
                    headers=_headers(letter),
                )
                for letter in letters
            ]
            self._producer.flush()
            for future in sent:
                future.get(timeout=0)
        except KafkaError as error:
            raise BrokerDown(f"{len(letters)} dead letters could not be stored: {error}") from error

    def close(self) -> None:
        self._producer.close()


class _Rebalance(ConsumerRebalanceListener):  # type: ignore[misc]  # the library has no types
    """Called on kafka-python's own thread, which sends no heartbeats meanwhile: listeners must be quick."""

    def __init__(self, consumer: KafkaConsumer, listener: PartitionListener) -> None:
        self._consumer = consumer
        self._listener = listener
        self.paused = False
        self._began_at: float | None = time.monotonic()

    def on_partitions_assigned(self, assigned: Sequence[TopicPartition]) -> None:
        partitions = sorted(Partition(partition.topic, partition.partition) for partition in assigned)
        log.info("partitions_assigned", partitions=[f"{each.topic}/{each.number}" for each in partitions])
        for partition, offset in self._listener.assigned(partitions).items():
            self._consumer.seek(to_kafka(partition), offset)
        if self.paused:
            self._consumer.pause(*assigned)
        self._began_at = None

    def on_partitions_revoked(self, revoked: Sequence[TopicPartition]) -> None:
        self._began_at = time.monotonic()
        self._listener.revoked(sorted(Partition(partition.topic, partition.partition) for partition in revoked))

    def check_it_ends(self) -> None:
        """Raises NotRunning when a rebalance has lasted too long to be one: a restart of the process mends it."""
        if self._began_at is not None and time.monotonic() - self._began_at > _REBALANCE_LIMIT_S:
            raise NotRunning(f"This writer has been without its group for {_REBALANCE_LIMIT_S:.0f} s; start it again.")


def _no_broker(bootstrap_servers: str, error: KafkaError) -> BrokerDown:
    return BrokerDown(f"No Kafka broker answers at {bootstrap_servers} ({error}); start it, or name another.")


def to_kafka(partition: Partition) -> TopicPartition:
    return TopicPartition(partition.topic, partition.number)


def to_record(message: Any) -> Record:
    return _to_records([message])[0]


def _to_records(messages: Sequence[Any]) -> list[Record]:
    """The messages of one partition; a column at a time, since a call for each message costs as much as all else."""
    (topic, number), last_headers, content_type = messages[0][:2], None, ""
    content_types = []
    for message in messages:
        if message.headers != last_headers:  # a producer says the same in every record
            last_headers = message.headers
            content_type = _content_type(last_headers)
        content_types.append(content_type)
    columns = (
        repeat(Partition(topic, number)),
        [message.offset for message in messages],
        [message.value for message in messages],
        content_types,
        [message.key for message in messages],
        [stamp * 1_000 if (stamp := message.timestamp) is not None and stamp >= 0 else None for message in messages],
    )
    # What `Record._make` does, without a call of Python for each.
    return list(map(partial(tuple.__new__, Record), zip(*columns, strict=False)))


def _content_type(headers: Sequence[tuple[str, bytes | None]]) -> str:
    for name, value in headers:
        if name == CONTENT_TYPE or name.lower() == CONTENT_TYPE:
            return value.decode("latin-1") if value else ""
    return ""


def _headers(letter: DeadLetter) -> list[tuple[str, bytes]]:
    record = letter.record
    headers = [
        ("reason", letter.reason.value.encode()),
        ("detail", letter.detail.encode("utf-8", "replace")[:1_024]),
        ("source-topic", record.partition.topic.encode()),
        ("source-partition", str(record.partition.number).encode()),
        ("source-offset", str(record.offset).encode()),
    ]
    if record.value is not None and len(record.value) > _MAX_LETTER_BYTES:
        headers.append(("value-size", str(len(record.value)).encode()))
    if record.content_type:
        headers.append((CONTENT_TYPE, record.content_type.encode("latin-1")[:1_024]))
    return headers
