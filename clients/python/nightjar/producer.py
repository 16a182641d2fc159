"""EventProducer: sends events, items and users to Kafka, each with a report, within a bounded buffer."""

import functools
import threading
from collections.abc import Mapping
from types import TracebackType
from typing import Any, Final, Self

import kafka
from kafka.codec import has_lz4
from kafka.errors import KafkaError, KafkaTimeoutError, MessageSizeTooLargeError

from nightjar.catalog import Item, User
from nightjar.delivery import Delivery, DeliveryReport, OnDelivery, failure
from nightjar.errors import BrokerUnreachable, DeliveryFailed, FlushTimedOut, InvalidField, NightjarClientError
from nightjar.events import Event
from nightjar.in_flight import InFlight, Reservation
from nightjar.partitioning import KeyPartitioner
from nightjar.v1 import event_pb2, item_pb2, user_pb2
from nightjar.validation import check_event, check_id, check_item, check_user

EVENTS_TOPIC: Final = "nightjar.events.v1"
ITEMS_TOPIC: Final = "nightjar.items.v1"
USERS_TOPIC: Final = "nightjar.users.v1"
HEADERS: Final = [("content-type", b"application/x-protobuf")]

BATCH_BYTES: Final = 262_144  # larger: requests near Kafka's limit of 1 MiB; smaller: more round trips a partition
# What kafka-python and this module keep for a record besides its bytes (futures, locks, callbacks), measured.
RECORD_OVERHEAD_BYTES: Final = 1_600
REQUEST_TIMEOUT_S: Final = 30.0  # kafka-python's own; delivery_timeout_s below it shortens it
RECONNECT_BACKOFF_MS: Final = 1_000  # the library's 30 s at most finds a broker that is back late
FORCED_CLOSE_S: Final = 1.0  # for the farewell to a broker that did not take the records in time


class EventProducer:
    """A thread-safe producer; make one a process and keep it. It does not survive a fork.

    bootstrap_servers: host:port, several separated by commas. linger_s: how long a record waits for others to share
    its request. max_buffer_bytes: sent records without a report, beyond which `send` blocks for up to max_block_s and
    then raises BufferFull. delivery_timeout_s: after it a record's report is a failure. on_delivery: called with every
    report. compression: "auto" (lz4 when it is installed, else gzip: a quarter of the bytes for no more CPU than
    "none", measured), "gzip", "lz4", "zstd", "snappy" or "none". kafka_options: more for kafka.KafkaProducer, such as
    security_protocol and the sasl_ and ssl_ ones.

    Raises BrokerUnreachable when no broker answers within connect_timeout_s.
    """

    def __init__(
        self,
        bootstrap_servers: str,
        *,
        events_topic: str = EVENTS_TOPIC,
        items_topic: str = ITEMS_TOPIC,
        users_topic: str = USERS_TOPIC,
        on_delivery: OnDelivery | None = None,
        linger_s: float = 0.005,
        max_buffer_bytes: int = 64 * 1_048_576,
        max_block_s: float = 10.0,
        connect_timeout_s: float = 10.0,
        delivery_timeout_s: float = 120.0,
        compression: str = "auto",
        kafka_options: Mapping[str, Any] | None = None,
    ) -> None:
        self._servers = bootstrap_servers
        self._events_topic = events_topic
        self._items_topic = items_topic
        self._users_topic = users_topic
        self._on_delivery = on_delivery
        self._max_block_s = max_block_s
        self._in_flight = InFlight(max_buffer_bytes)
        self._failures = _Failures()
        self._closed = False
        options = {
            "bootstrap_servers": bootstrap_servers,
            "acks": "all",
            "enable_idempotence": True,
            "linger_ms": _ms(linger_s),
            "batch_size": BATCH_BYTES,
            "compression_type": _codec(compression),
            "partitioner": KeyPartitioner(),
            "max_block_ms": _ms(max_block_s),
            "bootstrap_timeout_ms": _ms(connect_timeout_s),
            "delivery_timeout_ms": _ms(delivery_timeout_s),
            "request_timeout_ms": min(_ms(REQUEST_TIMEOUT_S), _ms(delivery_timeout_s) - _ms(linger_s)),
            "allow_auto_create_topics": False,  # a topic made by accident would have the wrong number of partitions
            "metrics_enabled": False,
            "reconnect_backoff_max_ms": RECONNECT_BACKOFF_MS,
        }
        try:
            self._kafka = kafka.KafkaProducer(**options | dict(kafka_options or {}))
        except KafkaError as error:
            raise BrokerUnreachable(
                f"No Kafka broker answered at {bootstrap_servers} ({type(error).__name__}: {error}); "
                "start one or name another."
            ) from error

    def send(self, event: Event | event_pb2.Event) -> Delivery:
        """Queues an event, keyed by its user, and returns at once unless the buffer is full.

        Raises InvalidField (a ValueError) for an event that breaks the contract, BufferFull, BrokerUnreachable.
        """
        message = event.to_proto() if isinstance(event, Event) else event
        check_event(message)
        return self._send(self._events_topic, message.event_id, message.user_id, message.SerializeToString())

    def send_item(self, item: Item | item_pb2.Item) -> Delivery:
        """Queues an item's present state, keyed by the item; otherwise as `send`."""
        message = item.to_proto() if isinstance(item, Item) else item
        check_item(message)
        return self._send(self._items_topic, message.item_id, message.item_id, message.SerializeToString())

    def send_user(self, user: User | user_pb2.User) -> Delivery:
        """Queues a user's present state, keyed by the user; otherwise as `send`."""
        message = user.to_proto() if isinstance(user, User) else user
        check_user(message)
        return self._send(self._users_topic, message.user_id, message.user_id, message.SerializeToString())

    def erase_user(self, user_id: str) -> Delivery:
        """Asks that all be forgotten that the user did until now; otherwise as `send`. May be repeated."""
        check_id("user_id", user_id)
        return self._send(self._users_topic, user_id, user_id, None)

    def flush(self, timeout_s: float = 60.0) -> None:
        """Blocks until everything sent before has its report.

        Raises FlushTimedOut when some has none after timeout_s, else DeliveryFailed when any record failed since the
        last flush, so that a caller who keeps no Delivery still learns of a loss.
        """
        num_missing = self._in_flight.wait(timeout_s)
        if num_missing:
            raise FlushTimedOut(
                f"{num_missing} records had no report from Kafka at {self._servers} after {timeout_s:g} s; they are "
                "still on their way. Flush again, or check the broker."
            )
        self._failures.raise_if_any()

    def close(self, timeout_s: float = 30.0) -> None:
        """Flushes, then ends the connection; what has no report after timeout_s fails. Raises as `flush` does."""
        if self._closed:
            return
        self._closed = True
        try:
            self.flush(timeout_s)
        finally:
            try:
                self._kafka.close(timeout=FORCED_CLOSE_S)
            except KafkaTimeoutError:
                # kafka-python leaves its thread running then, and every open report waiting for ever.
                self._kafka._sender.force_close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        """Closes. An error of the block is the one that is raised, not one of the closing that it caused."""
        try:
            self.close()
        except NightjarClientError:
            if error is None:
                raise

    def _send(self, topic: str, record_id: str, key: str, value: bytes | None) -> Delivery:
        if self._closed:
            raise NightjarClientError("This EventProducer is closed; make a new one.")
        key_bytes = key.encode()
        reservation = self._in_flight.reserve(
            len(key_bytes) + len(value or b"") + RECORD_OVERHEAD_BYTES, timeout_s=self._max_block_s
        )
        try:
            future = self._kafka.send(topic, value=value, key=key_bytes, headers=HEADERS)
        except BaseException as error:
            self._in_flight.release(reservation)
            if isinstance(error, MessageSizeTooLargeError):
                raise InvalidField("record", f"is too large for Kafka: {error}") from error
            if isinstance(error, KafkaError):
                raise self._unreachable(topic, error) from error
            raise
        future.add_callback(functools.partial(self._delivered, reservation, record_id))
        future.add_errback(functools.partial(self._failed, reservation, record_id, topic))
        return Delivery(record_id, topic, future)

    def _delivered(self, reservation: Reservation, record_id: str, stored: Any) -> None:
        """In the I/O thread. The room is given back last, so that a flush ends after the callbacks it waited for."""
        try:
            if self._on_delivery is not None:
                self._on_delivery(DeliveryReport(record_id, stored.topic, stored.partition, stored.offset))
        finally:
            self._in_flight.release(reservation)

    def _failed(self, reservation: Reservation, record_id: str, topic: str, error: BaseException) -> None:
        """In the I/O thread."""
        try:
            failed = failure(record_id, topic, error)
            self._failures.add(failed)
            if self._on_delivery is not None:
                self._on_delivery(DeliveryReport(record_id, topic, error=failed))
        finally:
            self._in_flight.release(reservation)

    def _unreachable(self, topic: str, error: KafkaError) -> BrokerUnreachable:
        return BrokerUnreachable(
            f"Kafka at {self._servers} did not say who leads the topic {topic} ({type(error).__name__}: {error}); "
            "check the broker, and that the topic exists."
        )


class _Failures:
    """How many records failed since the last look, and the first one's error."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._count = 0
        self._first: DeliveryFailed | None = None

    def add(self, error: DeliveryFailed) -> None:
        with self._lock:
            self._count += 1
            self._first = self._first or error

    def raise_if_any(self) -> None:
        with self._lock:
            count, first = self._count, self._first
            self._count, self._first = 0, None
        if first is not None:
            raise DeliveryFailed(f"{count} records failed; the first: {first}") from first


def _ms(seconds: float) -> int:
    """Whole milliseconds: kafka-python writes some of them into requests as integers."""
    return round(seconds * 1_000)


def _codec(compression: str) -> str | None:
    if compression == "auto":
        return "lz4" if has_lz4() else "gzip"
    return None if compression == "none" else compression
