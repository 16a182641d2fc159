"""Kafka read without a consumer group: ranges of offsets, or everything from some offsets on."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, Self

from kafka import KafkaConsumer
from kafka.errors import KafkaError

from services.adapters.kafka_source import to_kafka, to_record
from services.domain.errors import BrokerDown
from services.domain.stored_records import OffsetRange, StoredRecord
from services.domain.streams import Partition

CONNECT_TIMEOUT_S: Final = 10.0  # larger: a person waits longer to hear that nobody answers; smaller: as in a hiccup
STALL_LIMIT_S: Final = 30.0  # without one record where some must be; larger: a dead broker is told late
_WAIT_S: Final = 0.5


class KafkaReader:
    """Implements the TopicReader port; one instance for one thread, and for one reading at a time."""

    def __init__(self, bootstrap_servers: str) -> None:
        """Raises BrokerDown when no broker answers in time."""
        self._servers = bootstrap_servers
        try:
            self._consumer = KafkaConsumer(
                bootstrap_servers=bootstrap_servers.split(","),
                client_id="nightjar-reader",
                enable_auto_commit=False,
                auto_offset_reset="earliest",  # what retention deleted is passed over
                allow_auto_create_topics=False,
                bootstrap_timeout_ms=int(CONNECT_TIMEOUT_S * 1_000),
                metrics_enabled=False,
            )
        except KafkaError as error:
            raise self._down(error) from error

    def read(self, ranges: Mapping[Partition, OffsetRange]) -> Iterator[StoredRecord]:
        ends = {partition: wanted.end for partition, wanted in ranges.items() if len(wanted)}
        turns_left = limit = int(STALL_LIMIT_S / _WAIT_S)
        for records in self.follow({partition: ranges[partition].first for partition in ends}, _WAIT_S):
            yield from (each for each in records if each.record.offset < ends[each.record.partition])
            if all(self._consumer.position(to_kafka(each)) >= end for each, end in ends.items()):
                return
            turns_left = limit if records else turns_left - 1
            if not turns_left:
                raise BrokerDown(f"Kafka at {self._servers} gave no records for {STALL_LIMIT_S:.0f} s; is it up?")

    def follow(self, offsets: Mapping[Partition, int], wait_s: float) -> Iterator[Sequence[StoredRecord]]:
        try:
            self._consumer.assign([to_kafka(partition) for partition in offsets])
            for partition, offset in offsets.items():
                self._consumer.seek(to_kafka(partition), offset)
            while offsets:
                polled = self._consumer.poll(timeout_ms=int(wait_s * 1_000))
                yield [_to_stored(message) for messages in polled.values() for message in messages]
        except KafkaError as error:
            raise self._down(error) from error

    def close(self) -> None:
        self._consumer.close(autocommit=False)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()

    def _down(self, error: KafkaError) -> BrokerDown:
        return BrokerDown(
            f"Kafka at {self._servers} cannot be read ({type(error).__name__}: {error}); is it running and reachable?"
        )


def _to_stored(message: Any) -> StoredRecord:
    return StoredRecord(to_record(message), dict(message.headers))
