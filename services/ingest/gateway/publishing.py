"""The use case of the gateway: judge each event as the stream's writers would, send the good ones, wait for Kafka."""

from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from functools import partial
from typing import Final, Protocol

from nightjar.producer import RECORD_OVERHEAD_BYTES
from nightjar.v1 import event_pb2
from services.domain.errors import BrokerDown, InvalidRequest
from services.domain.event_types import EventTypes
from services.domain.ports import Clock
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.gateway.outcomes import BROKER_DOWN, Batch, Status
from services.ingest.gateway.room import Room

_PROTOBUF: Final = "application/x-protobuf"
_NOWHERE: Final = Partition("", -1)


class Sender(Protocol):
    """Kafka's side of the gateway."""

    def send(self, event: event_pb2.Event, on_report: Callable[[str], None]) -> None:
        """Queues an event in its user's order; `on_report` is called once, from any thread: empty when it is stored.

        Blocks for at most some seconds. Raises BrokerDown, and InvalidRequest for an event that Kafka would not take;
        then there is no report.
        """


class Publisher:
    """Belongs to one event loop; judging and sending happen in `thread`, so that the loop is free to answer.

    It must be a single thread: two would not send faster, and would mix up the order of a stream's events.
    """

    def __init__(
        self,
        sender: Sender,
        clock: Clock,
        thread: Executor,
        room: Room,
        *,
        types: EventTypes,
        limits: Limits,
        answer_timeout_s: float,
    ) -> None:
        self._sender = sender
        self._clock = clock
        self._thread = thread
        self._room = room
        self._types = types
        self._limits = limits
        self._answer_timeout_s = answer_timeout_s

    async def publish(self, events: Sequence[event_pb2.Event], *, patient: bool) -> Batch:
        """Takes the events on; their outcomes come with the batch, within the answer's time.

        patient: wait for room as long as for an answer, as a stream does, instead of not at all. Raises Overloaded;
        then nothing was sent.
        """
        size_bytes = sum(event.ByteSize() + RECORD_OVERHEAD_BYTES for event in events)
        await self._room.take(size_bytes, self._answer_timeout_s if patient else 0.0)
        batch = Batch(
            [event.event_id for event in events],
            self._answer_timeout_s,
            when_over=partial(self._room.give_back, size_bytes),
        )
        self._thread.submit(self._send_all, events, batch)
        return batch

    def _send_all(self, events: Sequence[event_pb2.Event], batch: Batch) -> None:
        try:
            self._send_each(events, batch)
        except Exception as error:  # noqa: BLE001 - the outermost frame of the thread
            batch.fail(error)

    def _send_each(self, events: Sequence[event_pb2.Event], batch: Batch) -> None:
        """After one event that could not be sent the rest is not tried: their users' order would suffer."""
        failed = "The event's turn did not come in time; send it again." if batch.is_late else ""
        now_us = int(self._clock.now().timestamp() * 1_000_000)
        for row, event in enumerate(events):
            letter = self._judged(event, now_us)
            if letter is not None:
                batch.tell(row, Status.INVALID, letter.reason.value, letter.detail)
            elif failed:
                batch.tell(row, Status.NOT_STORED, BROKER_DOWN, failed)
            else:
                failed = self._send(row, event, batch)

    def _send(self, row: int, event: event_pb2.Event, batch: Batch) -> str:
        """Why it could not be sent; empty when it was."""
        try:
            self._sender.send(event, partial(_tell, batch, row))
        except InvalidRequest as error:
            batch.tell(row, Status.INVALID, DeadReason.INVALID_FIELD.value, str(error))
        except BrokerDown as error:
            batch.tell(row, Status.NOT_STORED, BROKER_DOWN, str(error))
            return str(error)
        return ""

    def _judged(self, event: event_pb2.Event, now_us: int) -> DeadLetter | None:
        record = Record(_NOWHERE, -1, event.SerializeToString(), _PROTOBUF)
        decoded = decode_event(record, self._types, self._limits, now_us)
        return decoded if isinstance(decoded, DeadLetter) else None


def _tell(batch: Batch, row: int, problem: str) -> None:
    if problem:
        batch.tell(row, Status.NOT_STORED, BROKER_DOWN, problem)
    else:
        batch.tell(row, Status.STORED)
