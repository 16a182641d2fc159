"""EventsClient against a real gRPC server in this process: results in order, retries with the same ids, and the end."""

from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeAlias

import grpc
import pytest

from nightjar import Event, EventsClient, EventsError, EventsNotStored, InvalidField
from nightjar.v1 import event_service_pb2 as pb2
from nightjar.v1.event_service_pb2_grpc import EventServiceServicer, add_EventServiceServicer_to_server

Behaviour: TypeAlias = "Callable[[str], Any] | grpc.StatusCode"


def stored(event_id: str) -> pb2.PublishResult:
    return pb2.PublishResult(event_id=event_id, status=pb2.PUBLISH_STATUS_STORED)


def not_stored(event_id: str) -> pb2.PublishResult:
    status = pb2.PUBLISH_STATUS_NOT_STORED
    return pb2.PublishResult(event_id=event_id, status=status, problem="broker_down", detail="No broker.")


class Gateway(EventServiceServicer):
    """Behaves for each call as the next of the plan says, and then stores everything."""

    def __init__(self) -> None:
        self.plan: list[Behaviour] = []
        self.calls: list[list[str]] = []

    def PublishEvents(self, request: pb2.PublishEventsRequest, context: Any) -> pb2.PublishEventsResponse:  # noqa: N802
        ids = [event.event_id for event in request.events]
        self.calls.append(ids)
        behaviour = self.plan.pop(0) if self.plan else stored
        if isinstance(behaviour, grpc.StatusCode):
            context.abort(behaviour, "as planned")
            raise AssertionError("abort raises")
        return pb2.PublishEventsResponse(results=[behaviour(event_id) for event_id in ids])

    def PublishEventStream(self, request_iterator: Any, context: Any) -> Any:  # noqa: N802
        raise NotImplementedError


@pytest.fixture
def served() -> Iterator[tuple[Gateway, str]]:
    gateway, server = Gateway(), grpc.server(ThreadPoolExecutor(2))
    add_EventServiceServicer_to_server(gateway, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    yield gateway, f"127.0.0.1:{port}"
    server.stop(None).wait()


def events(count: int) -> list[Event]:
    return [Event("ada", f"i{number}", "view", event_id=f"e{number}") for number in range(count)]


def test_each_event_has_its_result_in_order(served: tuple[Gateway, str]) -> None:
    gateway, target = served

    def judge(event_id: str) -> pb2.PublishResult:
        if event_id != "e1":
            return stored(event_id)
        status = pb2.PUBLISH_STATUS_INVALID
        return pb2.PublishResult(event_id=event_id, status=status, problem="unknown_type", detail="type 'x' ...")

    gateway.plan = [judge]
    with EventsClient(target) as client:
        results = client.publish(events(3))
    assert [(result.event_id, result.stored, result.problem) for result in results] == [
        ("e0", True, ""),
        ("e1", False, "unknown_type"),
        ("e2", True, ""),
    ]
    assert len(gateway.calls) == 1, "an invalid event is not sent again"


def test_many_events_go_in_several_requests_one_after_the_other(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    with EventsClient(target, request_events=2) as client:
        assert all(result.stored for result in client.publish(events(5)))
    assert gateway.calls == [["e0", "e1"], ["e2", "e3"], ["e4"]]


def test_large_events_go_in_requests_that_every_server_takes(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    large = [Event("ada", "i", "view", event_id=f"e{n}", attributes={"a": "x" * 400_000}) for n in range(3)]
    with EventsClient(target) as client:
        client.publish(large)
        with pytest.raises(InvalidField, match="at most 1000000 fit"):
            client.publish([Event("ada", "i", "view", surface="x" * 1_000_000)])
    assert gateway.calls == [["e0", "e1"], ["e2"]]


@pytest.mark.parametrize("code", [grpc.StatusCode.UNAVAILABLE, grpc.StatusCode.RESOURCE_EXHAUSTED])
def test_a_server_that_is_away_or_full_is_asked_again_with_the_same_ids(
    served: tuple[Gateway, str], code: grpc.StatusCode
) -> None:
    gateway, target = served
    gateway.plan = [code]
    with EventsClient(target) as client:
        assert all(result.stored for result in client.publish(events(2)))
    assert gateway.calls == [["e0", "e1"], ["e0", "e1"]]


def test_only_what_is_not_stored_is_sent_again(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    gateway.plan = [lambda event_id: not_stored(event_id) if event_id == "e1" else stored(event_id)]
    with EventsClient(target) as client:
        assert [result.stored for result in client.publish(events(3))] == [True] * 3
    assert gateway.calls == [["e0", "e1", "e2"], ["e1"]]


def test_when_the_time_is_up_the_error_has_every_result(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    gateway.plan = [stored, *[not_stored] * 20]
    with (
        EventsClient(target, timeout_s=0.4, request_events=2) as client,
        pytest.raises(EventsNotStored, match=r"3 of 5 events were not stored .*No broker.*again") as raised,
    ):
        client.publish(events(5))
    assert [result.status for result in raised.value.results] == ["stored"] * 2 + ["not_stored"] * 3


def test_the_server_s_reason_outlasts_a_last_try_that_the_time_cut_off(served: tuple[Gateway, str]) -> None:
    """A deadline says only that the time was up, which the sender knows; why is what the server said before."""
    gateway, target = served
    gateway.plan = [not_stored, *[grpc.StatusCode.DEADLINE_EXCEEDED] * 100]
    with EventsClient(target, timeout_s=0.5) as client, pytest.raises(EventsNotStored, match="No broker"):
        client.publish(events(1))
    assert len(gateway.calls) > 1


def test_what_is_not_stored_for_no_stated_reason_is_no_success(served: tuple[Gateway, str]) -> None:
    """As of a later server's status, or where an answer had no room left for a sentence."""
    gateway, target = served
    gateway.plan = [lambda event_id: pb2.PublishResult(event_id=event_id, status=99)] * 20  # type: ignore[arg-type]
    with EventsClient(target, timeout_s=0.3) as client, pytest.raises(EventsNotStored, match="does not say why"):
        client.publish(events(1))


def test_a_refusal_for_good_is_raised_at_once(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    gateway.plan = [grpc.StatusCode.INVALID_ARGUMENT]
    with EventsClient(target) as client, pytest.raises(EventsError, match="INVALID_ARGUMENT") as raised:
        client.publish(events(1))
    assert not raised.value.retryable
    assert len(gateway.calls) == 1


def test_nobody_there_is_said_in_time() -> None:
    with (
        EventsClient("127.0.0.1:1", timeout_s=0.5) as client,
        pytest.raises(EventsNotStored, match="UNAVAILABLE"),
    ):
        client.publish(events(1))


def test_a_status_that_a_later_server_added_counts_as_not_stored(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    gateway.plan = [lambda event_id: pb2.PublishResult(event_id=event_id, status=99)]  # type: ignore[arg-type]
    with EventsClient(target) as client:
        assert client.publish(events(1))[0].stored
    assert len(gateway.calls) == 2


def test_nothing_to_send_asks_nobody(served: tuple[Gateway, str]) -> None:
    gateway, target = served
    with EventsClient(target) as client:
        assert client.publish([]) == []
    assert gateway.calls == []
