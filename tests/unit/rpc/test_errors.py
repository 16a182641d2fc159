from collections.abc import Iterator
from typing import Any

import pytest
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc import StatusCode

from services.domain.errors import InvalidRequest, ModelNotReady, NightjarError, Overloaded, Reason
from services.rpc.errors import DOMAIN, RETRY_MS, STATUS_CODES, domain_status, unknown_status


def kinds(of: type[NightjarError] = NightjarError) -> Iterator[type[NightjarError]]:
    """Every error class of the system, whatever its depth."""
    for kind in of.__subclasses__():
        yield kind
        yield from kinds(kind)


def rich(status: Any) -> status_pb2.Status:
    """The google.rpc.Status inside of a gRPC status."""
    metadata = dict(status.trailing_metadata)
    return status_pb2.Status.FromString(metadata["grpc-status-details-bin"])


def unpacked(detail: Any, kind: Any) -> Any:
    message = kind()
    assert detail.Unpack(message)
    return message


@pytest.mark.parametrize("kind", list(kinds()), ids=lambda kind: kind.__name__)
def test_every_error_of_the_system_has_a_status(kind: type[NightjarError]) -> None:
    error = InvalidRequest("k", "is 0") if kind is InvalidRequest else kind("one sentence")
    status = domain_status(error)
    assert status.code is STATUS_CODES[kind.reason]
    assert status.code not in (StatusCode.OK, StatusCode.UNKNOWN)
    info = unpacked(rich(status).details[0], error_details_pb2.ErrorInfo)
    assert (info.reason, info.domain) == (kind.reason.value, DOMAIN)


def test_every_reason_is_in_the_table() -> None:
    assert set(STATUS_CODES) == set(Reason)


@pytest.mark.parametrize("kind", [kind for kind in kinds() if kind.retryable], ids=lambda kind: kind.__name__)
def test_what_may_be_tried_again_says_so(kind: type[NightjarError]) -> None:
    """Clients retry UNAVAILABLE by themselves; RESOURCE_EXHAUSTED tells them to slow down first."""
    wanted = StatusCode.RESOURCE_EXHAUSTED if kind is Overloaded else StatusCode.UNAVAILABLE
    assert STATUS_CODES[kind.reason] is wanted


def test_a_bad_field_is_named_in_a_bad_request() -> None:
    details = rich(domain_status(InvalidRequest("k", "is 501; 1 to 500 are allowed"))).details
    bad = unpacked(details[1], error_details_pb2.BadRequest)
    violations = [(each.field, each.description) for each in bad.field_violations]
    assert violations == [("k", "is 501; 1 to 500 are allowed")]


def test_who_is_refused_for_now_is_told_when_to_come_again() -> None:
    details = rich(domain_status(Overloaded("too many calls"))).details
    retry = unpacked(details[1], error_details_pb2.RetryInfo)
    assert retry.retry_delay.ToMilliseconds() == RETRY_MS


def test_only_a_bad_field_brings_a_bad_request() -> None:
    assert len(rich(domain_status(ModelNotReady("none yet"))).details) == 1


def test_an_unforeseen_failure_shows_nothing_but_its_correlation_id() -> None:
    status = unknown_status("abc123")
    assert status.code is StatusCode.INTERNAL
    info = unpacked(rich(status).details[0], error_details_pb2.ErrorInfo)
    assert dict(info.metadata) == {"correlation_id": "abc123"}
