"""The gateway's way to Kafka: the SDK's own producer, so that both ways in store alike."""

import threading
from collections.abc import Callable
from typing import Final

import structlog

from nightjar.delivery import DeliveryReport
from nightjar.errors import BrokerUnreachable, BufferFull, InvalidField, NightjarClientError
from nightjar.producer import EventProducer
from nightjar.v1 import event_pb2
from services.domain.errors import BrokerDown, InvalidRequest

log = structlog.get_logger(__name__)

CONNECT_PAUSE_S: Final = 1.0  # larger: slow to see that Kafka is there; smaller: a log full of tries


class KafkaSender:
    """Implements the gateway's Sender; without Kafka at the start it goes on looking for it."""

    def __init__(self, make_producer: Callable[[], EventProducer]) -> None:
        """make_producer: blocks until a broker answers, or raises BrokerUnreachable."""
        self._make_producer = make_producer
        self._producer: EventProducer | None = None

    def connect(self, stop: threading.Event) -> bool:
        """Blocks until Kafka answers; False when told to stop before."""
        while not stop.is_set():
            try:
                self._producer = self._make_producer()
            except BrokerUnreachable as error:
                log.warning("broker_down", next_try_s=CONNECT_PAUSE_S, why=str(error))
                stop.wait(CONNECT_PAUSE_S)
            else:
                return True
        return False

    def send(self, event: event_pb2.Event, on_report: Callable[[str], None]) -> None:
        """See the port."""
        if self._producer is None:
            raise BrokerDown("Kafka has not answered since the gateway started; send the same events again later.")
        try:
            delivery = self._producer.send(event)
        except InvalidField as error:
            raise InvalidRequest(error.field, error.problem) from error
        except (BrokerUnreachable, BufferFull) as error:
            raise BrokerDown(str(error)) from error

        def report(delivered: DeliveryReport) -> None:
            on_report("" if delivered.error is None else str(delivered.error))

        delivery.when_done(report)

    def close(self, timeout_s: float) -> None:
        """Waits for what is under way, then ends the connection."""
        if self._producer is not None:
            try:
                self._producer.close(timeout_s)
            except NightjarClientError as error:
                # Each event's own answer said so already.
                log.warning("events_not_stored", why=str(error))
