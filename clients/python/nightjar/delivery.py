"""What became of a sent record: Delivery is the promise, DeliveryReport the answer."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from kafka.errors import KafkaError, KafkaTimeoutError

from nightjar.errors import DeliveryFailed


@dataclass(frozen=True, slots=True)
class DeliveryReport:
    """Where Kafka keeps a record, or why it does not.

    record_id: the event_id or item_id. partition, offset: -1 when there is an error.
    """

    record_id: str
    topic: str
    partition: int = -1
    offset: int = -1
    error: DeliveryFailed | None = None

    @property
    def delivered(self) -> bool:
        """True when every in-sync replica has the record."""
        return self.error is None


OnDelivery = Callable[[DeliveryReport], None]
"""Called once a record, in the producer's I/O thread: keep it short; sending from it may block that thread."""


class Delivery:
    """The promise of a report for one record. Dropping it loses nothing: flush and close raise on failures."""

    __slots__ = ("_future", "_topic", "record_id")

    def __init__(self, record_id: str, topic: str, future: Any) -> None:
        self.record_id = record_id
        self._topic = topic
        self._future = future

    def done(self) -> bool:
        """True when the report is there."""
        return bool(self._future.is_done)

    def when_done(self, call: OnDelivery) -> None:
        """Has `call` called with the report, as the producer's on_delivery is; at once when it is there already."""

        def delivered(stored: Any) -> None:
            call(DeliveryReport(self.record_id, self._topic, stored.partition, stored.offset))

        def failed(error: BaseException) -> None:
            call(DeliveryReport(self.record_id, self._topic, error=failure(self.record_id, self._topic, error)))

        self._future.add_callback(delivered)
        self._future.add_errback(failed)

    def result(self, timeout_s: float | None = None) -> DeliveryReport:
        """Blocks for the report; raises DeliveryFailed, or TimeoutError when there is none yet after timeout_s."""
        try:
            stored = self._future.get(timeout_s)
        except KafkaError as error:
            if isinstance(error, KafkaTimeoutError) and not self._future.is_done:
                raise TimeoutError(
                    f"No report for {self.record_id} after {timeout_s} s; it is still on its way."
                ) from error
            raise failure(self.record_id, self._topic, error) from error
        return DeliveryReport(self.record_id, self._topic, stored.partition, stored.offset)


def failure(record_id: str, topic: str, error: BaseException) -> DeliveryFailed:
    """The SDK's error for one of kafka-python's."""
    return DeliveryFailed(
        f"{record_id} did not reach the topic {topic} ({type(error).__name__}: {error}); sending it again is safe."
    )
