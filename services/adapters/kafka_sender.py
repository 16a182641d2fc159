"""Kafka as the place where single records are sent again, each to a partition chosen beforehand."""

import time
from collections.abc import Callable, Mapping, Sequence
from itertools import takewhile
from typing import Any, Final, Self

from kafka import KafkaProducer
from kafka.errors import KafkaError
from kafka.partitioner.default import murmur2

from services.adapters.kafka_source import CONTENT_TYPE
from services.domain.errors import BrokerDown
from services.domain.streams import Partition, Record

# Past it a record fails for good. Larger: fewer records are begun within the lease of a replay's claim; smaller: a
# short hiccup of a broker is a failure.
DELIVERY_TIMEOUT_S: Final = 20.0
CONNECT_TIMEOUT_S: Final = 10.0  # also how long beginning one record may block; larger and smaller: likewise


class KafkaSender:
    """Implements the RecordSender port. Close it, or use it in a `with`."""

    def __init__(self, bootstrap_servers: str, seconds: Callable[[], float] = time.monotonic) -> None:
        """Raises BrokerDown when no broker answers in time. seconds: a clock that only goes forward."""
        self._servers = bootstrap_servers
        self._seconds = seconds
        try:
            self._producer = KafkaProducer(
                bootstrap_servers=bootstrap_servers.split(","),
                enable_idempotence=True,
                acks="all",
                linger_ms=5,
                delivery_timeout_ms=int(DELIVERY_TIMEOUT_S * 1_000),
                request_timeout_ms=int(DELIVERY_TIMEOUT_S * 1_000) - 1_000,
                max_block_ms=int(CONNECT_TIMEOUT_S * 1_000),
                bootstrap_timeout_ms=int(CONNECT_TIMEOUT_S * 1_000),
                allow_auto_create_topics=False,
                metrics_enabled=False,
            )
        except KafkaError as error:
            raise BrokerDown(
                f"No Kafka broker answers at {bootstrap_servers} ({error}); start it, or name another."
            ) from error

    def place(self, topic: str, key: bytes) -> Partition:
        try:
            num_partitions = len(self._producer.partitions_for(topic))
        except KafkaError as error:
            raise BrokerDown(f"Kafka at {self._servers} does not know the topic {topic}: {error}") from error
        return Partition(topic, (int(murmur2(key)) & 0x7FFF_FFFF) % num_partitions)

    def send(self, records: Sequence[tuple[Record, Mapping[str, bytes]]], within_s: float) -> int:
        # A record begun at the last moment may block, and then take its whole time to be delivered.
        last_begin = self._seconds() + within_s - CONNECT_TIMEOUT_S - DELIVERY_TIMEOUT_S
        in_time = takewhile(lambda _: self._seconds() < last_begin, records)
        try:
            sent = [self._begin(record, headers) for record, headers in in_time]
            self._producer.flush()
            for future in sent:
                future.get(timeout=0)
        except KafkaError as error:
            raise BrokerDown(
                f"Whether {len(records)} records reached Kafka at {self._servers} is open ({type(error).__name__}: "
                f"{error}); run the same command again in a minute, and it looks for them first."
            ) from error
        return len(sent)

    def _begin(self, record: Record, headers: Mapping[str, bytes]) -> Any:
        """A future of its delivery; blocks while the topic is not known."""
        return self._producer.send(
            record.partition.topic,
            partition=record.partition.number,
            key=record.key,
            value=record.value,
            headers=_headers(record, headers),
            timestamp_ms=None if record.timestamp_us is None else record.timestamp_us // 1_000,
        )

    def close(self) -> None:
        self._producer.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _headers(record: Record, others: Mapping[str, bytes]) -> list[tuple[str, bytes]]:
    named = [(CONTENT_TYPE, record.content_type.encode("latin-1"))] if record.content_type else []
    return [*others.items(), *named]
