"""The one table from the system's reasons to gRPC status codes, and how an error looks on the wire."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]
from grpc import StatusCode
from grpc_status import rpc_status

from services.domain.errors import InvalidRequest, NightjarError, Overloaded, Reason

DOMAIN: Final = "nightjar"
RETRY_MS: Final = 100  # larger: what was a burst is over long before; smaller: callers come back into it

STATUS_CODES: Final[Mapping[Reason, StatusCode]] = MappingProxyType(
    {
        Reason.INVALID_REQUEST: StatusCode.INVALID_ARGUMENT,
        Reason.INVALID_SETTINGS: StatusCode.INTERNAL,
        Reason.MISSING_DEPENDENCY: StatusCode.INTERNAL,
        Reason.PORT_IN_USE: StatusCode.INTERNAL,
        Reason.START_FAILED: StatusCode.INTERNAL,
        Reason.NOT_RUNNING: StatusCode.UNAVAILABLE,
        Reason.MODEL_NOT_READY: StatusCode.UNAVAILABLE,
        Reason.UNKNOWN_ITEM: StatusCode.NOT_FOUND,
        Reason.UNKNOWN_VERSION: StatusCode.NOT_FOUND,
        Reason.PAGE_EXPIRED: StatusCode.FAILED_PRECONDITION,
        Reason.UNKNOWN_NIGHT: StatusCode.NOT_FOUND,
        Reason.NIGHT_NOT_RESUMABLE: StatusCode.FAILED_PRECONDITION,
        Reason.NOTHING_TO_ROLL_BACK: StatusCode.FAILED_PRECONDITION,
        Reason.GATE_NOT_PASSED: StatusCode.FAILED_PRECONDITION,
        Reason.WORKERS_NOT_READY: StatusCode.FAILED_PRECONDITION,
        Reason.SWAP_UNDER_WAY: StatusCode.ABORTED,
        Reason.TRIAL_UNDER_WAY: StatusCode.FAILED_PRECONDITION,
        Reason.BUNDLE_BROKEN: StatusCode.DATA_LOSS,
        Reason.BUNDLE_DELETED: StatusCode.FAILED_PRECONDITION,
        Reason.BUNDLE_STORE_DOWN: StatusCode.UNAVAILABLE,
        Reason.FEATURE_STORE_DOWN: StatusCode.UNAVAILABLE,
        Reason.CATALOG_DOWN: StatusCode.UNAVAILABLE,
        Reason.BROKER_DOWN: StatusCode.UNAVAILABLE,
        Reason.OVERLOADED: StatusCode.RESOURCE_EXHAUSTED,
        Reason.OUT_OF_TIME: StatusCode.DEADLINE_EXCEEDED,
        Reason.STREAM_IDLE: StatusCode.DEADLINE_EXCEEDED,
        Reason.EVENT_LOG_DOWN: StatusCode.UNAVAILABLE,
        Reason.EVENT_LOG_CONFLICT: StatusCode.ABORTED,
        Reason.EVENT_LOG_MOVED: StatusCode.UNAVAILABLE,
        Reason.OFFSETS_WENT_BACK: StatusCode.INTERNAL,
        Reason.TOO_MANY_DEAD_LETTERS: StatusCode.INTERNAL,
        Reason.NOT_ENOUGH_DATA: StatusCode.FAILED_PRECONDITION,
        Reason.BAD_DATA: StatusCode.FAILED_PRECONDITION,
        Reason.UNFIT_TO_START_FROM: StatusCode.FAILED_PRECONDITION,
        Reason.TRAINING_FAILED: StatusCode.INTERNAL,
        Reason.DATASET_UNAVAILABLE: StatusCode.UNAVAILABLE,
        Reason.REBUILD_CONFLICT: StatusCode.ABORTED,
        Reason.REPLAY_REFUSED: StatusCode.FAILED_PRECONDITION,
    }
)


def domain_status(error: NightjarError) -> grpc.Status:
    """The status of an error raised on purpose, for the end of a call."""
    return rpc_status.to_status(domain_message(error))


def domain_message(error: NightjarError) -> status_pb2.Status:
    """The same as a message: its sentence, an ErrorInfo, for a bad field a BadRequest, when to come again."""
    status = _status(STATUS_CODES[error.reason], str(error), str(error.reason), {})
    if isinstance(error, InvalidRequest):
        violation = error_details_pb2.BadRequest.FieldViolation(field=error.field, description=error.problem)
        status.details.add().Pack(error_details_pb2.BadRequest(field_violations=[violation]))
    if isinstance(error, Overloaded):
        retry = error_details_pb2.RetryInfo()
        retry.retry_delay.FromMilliseconds(RETRY_MS)
        status.details.add().Pack(retry)
    return status


def unknown_status(correlation_id: str) -> grpc.Status:
    """The status of an exception nobody foresaw: nothing of it leaves the process but where to find it in the log."""
    sentence = f"The server failed; its log says why under correlation id {correlation_id}."
    return rpc_status.to_status(_status(StatusCode.INTERNAL, sentence, "INTERNAL", {"correlation_id": correlation_id}))


def _status(code: StatusCode, sentence: str, reason: str, metadata: Mapping[str, str]) -> status_pb2.Status:
    status = status_pb2.Status(code=code.value[0], message=sentence)
    status.details.add().Pack(error_details_pb2.ErrorInfo(reason=reason, domain=DOMAIN, metadata=metadata))
    return status
