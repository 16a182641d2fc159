"""EventService on the wire."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Sequence
from typing import Any, Final

import grpc
import structlog

from nightjar.v1 import event_service_pb2 as wire
from nightjar.v1.event_pb2 import Event
from nightjar.v1.event_service_pb2_grpc import EventServiceServicer
from services.domain.errors import BrokerDown, InvalidRequest, StreamIdle
from services.ingest.gateway.answers import MAX_ROOM_BYTES, results_of, room_bytes
from services.ingest.gateway.outcomes import Batch, Status
from services.ingest.gateway.publishing import Publisher
from services.ingest.gateway.recorder import GatewayRecorder

log = structlog.get_logger(__name__)

SERVICE: Final = wire.DESCRIPTOR.services_by_name["EventService"].full_name


class EventServicer(EventServiceServicer):
    """Checks a request's size, publishes its events, and answers once all have an outcome."""

    def __init__(
        self,
        publisher: Publisher,
        recorder: GatewayRecorder,
        *,
        max_request_events: int,
        max_stream_events: int,
        stream_idle_timeout_s: float,
    ) -> None:
        self._publisher = publisher
        self._recorder = recorder
        self._max_request_events = max_request_events
        self._max_stream_events = max_stream_events
        self._stream_idle_timeout_s = stream_idle_timeout_s

    async def PublishEvents(  # noqa: N802 - the contract's name
        self, request: wire.PublishEventsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.PublishEventsResponse:
        """See proto/nightjar/v1/event_service.proto."""
        del context
        self._check_count(request.events)
        _checked_room(request.events)
        batch = await self._publisher.publish(request.events, patient=False)
        return wire.PublishEventsResponse(results=await self._results([batch]))

    async def PublishEventStream(  # noqa: N802 - the contract's name
        self,
        request_iterator: AsyncIterator[wire.PublishEventStreamRequest],
        context: grpc.aio.ServicerContext[Any, Any],
    ) -> wire.PublishEventStreamResponse:
        """See proto/nightjar/v1/event_service.proto."""
        del context
        batches: list[Batch] = []
        num_events = needed_bytes = 0
        async for request in self._none_idle(request_iterator):
            self._check_count(request.events)
            num_events += len(request.events)
            if num_events > self._max_stream_events:
                raise InvalidRequest(
                    "events", f"are more than {self._max_stream_events} in one stream; send them again in several"
                )
            needed_bytes += _checked_room(request.events, needed_bytes)
            batches.append(await self._publisher.publish(request.events, patient=True))
        return wire.PublishEventStreamResponse(results=await self._results(batches))

    async def _none_idle(
        self, requests: AsyncIterator[wire.PublishEventStreamRequest]
    ) -> AsyncIterator[wire.PublishEventStreamRequest]:
        """The messages of a stream that have events; raises StreamIdle when the next one does not come in time."""
        with_events = (request async for request in requests if request.events)
        while True:
            try:
                async with asyncio.timeout(self._stream_idle_timeout_s):
                    request = await anext(with_events)
            except StopAsyncIteration:
                return
            except TimeoutError as error:
                raise StreamIdle(
                    f"No event of the stream came for {self._stream_idle_timeout_s:g} s; send the same events again, "
                    "end a stream once its events are sent, or set NIGHTJAR_GATEWAY__STREAM_IDLE_TIMEOUT_S higher."
                ) from error
            yield request

    def _check_count(self, events: Sequence[Event]) -> None:
        if len(events) > self._max_request_events:
            raise InvalidRequest("events", f"has {len(events)} entries; at most {self._max_request_events} are allowed")

    async def _results(self, batches: Iterable[Batch]) -> list[wire.PublishResult]:
        """Raises BrokerDown when Kafka took nothing at all: then the whole call is to be made again."""
        outcomes = [outcome for batch in batches for outcome in await batch.outcomes()]
        counts = {status: sum(outcome.status is status for outcome in outcomes) for status in Status}
        self._recorder.published(counts)
        log.debug("events_published", **{status.value: count for status, count in counts.items()})
        if counts[Status.NOT_STORED] and not counts[Status.STORED]:
            raise BrokerDown(next(outcome.detail for outcome in outcomes if outcome.status is Status.NOT_STORED))
        return results_of(outcomes)


def _checked_room(events: Iterable[Event], used_bytes: int = 0) -> int:
    """What the answer needs for these events, in bytes; raises InvalidRequest when it has used too many for that."""
    needed_bytes = room_bytes(events)
    if used_bytes + needed_bytes > MAX_ROOM_BYTES:
        raise InvalidRequest(
            "events",
            f"have so many or such long event_ids that the answer may exceed {MAX_ROOM_BYTES / 1_048_576:g} MiB; send "
            "them again in several streams or requests",
        )
    return needed_bytes
