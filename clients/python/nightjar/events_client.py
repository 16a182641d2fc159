"""EventsClient: sends events over gRPC, for those who cannot reach Kafka."""

import random
import time
from collections.abc import Iterable, Sequence
from types import TracebackType
from typing import Final, Self

import grpc

from nightjar import calls
from nightjar.errors import EventsError, EventsNotStored
from nightjar.events import Event
from nightjar.publishing import PublishResult, in_requests
from nightjar.v1 import event_pb2
from nightjar.v1 import event_service_pb2 as pb2
from nightjar.v1.event_service_pb2_grpc import EventServiceStub

CALL_TIMEOUT_S: Final = 15.0  # the server answers within 10 s, unless its operator set another time
FIRST_PAUSE_S: Final = 0.1  # larger: slow after a hiccup; smaller: a server that is full is asked at once again
LONGEST_PAUSE_S: Final = 5.0  # larger: slow to see that it is back; smaller: load while it starts


class EventsClient:
    """One connection, for any number of threads; make one a process and keep it.

    target: host:port of the gateway. credentials: for TLS, from grpc.ssl_channel_credentials(); None for plain text.
    timeout_s: how long `publish` goes on trying. request_events: events in one request.
    """

    def __init__(
        self,
        target: str,
        *,
        credentials: grpc.ChannelCredentials | None = None,
        timeout_s: float = 60.0,
        request_events: int = 500,
    ) -> None:
        self._target = target
        self._timeout_s = timeout_s
        self._request_events = request_events
        self._channel = (
            grpc.insecure_channel(target, options=calls.RECONNECT_OPTIONS)
            if credentials is None
            else grpc.secure_channel(target, credentials, options=calls.RECONNECT_OPTIONS)
        )
        self._events = EventServiceStub(self._channel)

    def publish(self, events: Iterable[Event | event_pb2.Event]) -> list[PublishResult]:
        """Blocks until each event is stored or refused; a result for each, in the order given.

        What Kafka did not acknowledge, and calls that met a server that is down, restarting or full, are sent again
        with the same event_ids after a growing pause, so an event counts once all the same. An event that breaks the
        contract is no exception: its result says "invalid", and the others are stored.

        Raises EventsNotStored, which has the results, when some event is not stored in time, and EventsError when the
        server refuses a call for good. Sending all of them again is safe after either.
        """
        messages = [event.to_proto() if isinstance(event, Event) else event for event in events]
        requests = list(in_requests(messages, self._request_events))
        results = [PublishResult(message.event_id, "not_stored") for message in messages]
        deadline = time.monotonic() + self._timeout_s
        for rows in requests:
            why = self._publish_rows(rows, messages, results, deadline)
            if why:
                num_open = sum(result.status == "not_stored" for result in results)
                raise EventsNotStored(
                    f"{num_open} of {len(messages)} events were not stored by {self._target} within "
                    f"{self._timeout_s:g} s ({why}); send the same events again.",
                    results,
                )
        return results

    def close(self) -> None:
        """Ends the connection and every running call."""
        self._channel.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, traceback: TracebackType | None
    ) -> None:
        self.close()

    def _publish_rows(
        self, rows: Sequence[int], messages: Sequence[event_pb2.Event], results: list[PublishResult], deadline: float
    ) -> str:
        """Why some are not stored when the time is up; empty when each has its last result."""
        pause_s, why = FIRST_PAUSE_S, ""
        while True:
            why = self._try([messages[row] for row in rows], rows, results, deadline, why)
            rows = [row for row in rows if results[row].status == "not_stored"]
            if not rows:
                return ""
            # Chance keeps clients that failed together from coming back together.
            pause = pause_s * random.uniform(0.5, 1.0)
            if time.monotonic() + pause >= deadline:
                return why
            time.sleep(pause)
            pause_s = min(2 * pause_s, LONGEST_PAUSE_S)

    def _try(
        self,
        messages: Sequence[event_pb2.Event],
        rows: Sequence[int],
        results: list[PublishResult],
        deadline: float,
        why_before: str,
    ) -> str:
        """One call; why some are not stored, if so: a call that our own deadline cut says less than the one before."""
        request = pb2.PublishEventsRequest(events=messages)
        timeout_s = min(CALL_TIMEOUT_S, max(0.001, deadline - time.monotonic()))
        try:
            response = self._events.PublishEvents(request, timeout=timeout_s)
        except grpc.RpcError as error:
            failed = calls.call_error(EventsError, error, self._target)
            if failed.retryable:
                is_cut = error.code() is grpc.StatusCode.DEADLINE_EXCEEDED
                return why_before if is_cut and why_before else str(failed)
            raise failed from error
        why = ""
        for row, result in zip(rows, response.results, strict=True):
            results[row] = PublishResult.from_proto(result)
            if results[row].status == "not_stored":
                why = why or result.detail or result.problem or "the server does not say why"
        return why
