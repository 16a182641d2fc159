"""What the clients share: the channel's options, the recommender's requests, and errors made readable."""

import json
from collections.abc import Iterable, Mapping
from datetime import timedelta
from typing import Any, Final, Literal, TypeVar

import grpc
from google.rpc import error_details_pb2, status_pb2  # type: ignore[import-untyped]

from nightjar.asking import RecentEvent
from nightjar.errors import CallFailed, InvalidField, RecommenderError
from nightjar.v1 import recommender_service_pb2 as pb2
from nightjar.validation import check_id
from nightjar.wishes import Filter, Wishes

SERVICE: Final = "nightjar.v1.RecommenderService"
MAX_K: Final = 500
DEFAULT_TIMEOUT_S: Final = 2.0
POLL_S: Final = 0.05  # larger: slow to see that serving began; smaller: idle calls
_DETAILS_KEY: Final = "grpc-status-details-bin"

# Every call may be repeated safely, so one that met a restarting worker is: 4 attempts within its timeout.
_SERVICE_CONFIG: Final = {
    "methodConfig": [
        {
            "name": [{"service": SERVICE}],
            "retryPolicy": {
                "maxAttempts": 4,
                "initialBackoff": "0.05s",
                "maxBackoff": "0.5s",
                "backoffMultiplier": 2,
                "retryableStatusCodes": ["UNAVAILABLE"],
            },
        }
    ]
}
# gRPC waits a second before it connects again, up to two minutes; a restart here takes less.
RECONNECT_OPTIONS: Final = (
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 2_000),
)
CHANNEL_OPTIONS: Final = (("grpc.service_config", json.dumps(_SERVICE_CONFIG)), *RECONNECT_OPTIONS)

Seen = Literal["exclude_consumed", "exclude_shown", "include"]
_SEEN: Final[Mapping[str, pb2.SeenPolicy.ValueType]] = {
    "exclude_consumed": pb2.SEEN_POLICY_UNSPECIFIED,
    "exclude_shown": pb2.SEEN_POLICY_EXCLUDE_SHOWN,
    "include": pb2.SEEN_POLICY_INCLUDE,
}
Window = Literal["long", "short"]
_WINDOWS: Final[Mapping[str, pb2.PopularWindow.ValueType]] = {
    "long": pb2.POPULAR_WINDOW_LONG,
    "short": pb2.POPULAR_WINDOW_SHORT,
}

E = TypeVar("E", bound=CallFailed)


def recommend_request(
    user_id: str,
    k: int,
    recent_events: Iterable[RecentEvent],
    exclude_item_ids: Iterable[str],
    seen: Seen,
    shown_within: timedelta | None,
    wishes: Wishes | None,
    page_token: str,
    explain: bool,
) -> pb2.RecommendRequest:
    """Raises InvalidField."""
    events = [each.to_proto() for each in recent_events]
    if user_id or not (events or (wishes is not None and wishes.context_item_ids)):
        check_id("user_id", user_id)
    _check_k(k)
    if seen not in _SEEN:
        raise InvalidField("seen", f"is {seen!r}; {', '.join(_SEEN)} are allowed")
    request = pb2.RecommendRequest(
        user_id=user_id,
        k=k,
        recent_events=events,
        exclude_item_ids=exclude_item_ids,
        seen_policy=_SEEN[seen],
        page_token=page_token,
        explain=explain,
    )
    if wishes is not None:
        wishes.write_to(request)
    if shown_within is not None:
        request.shown_within.FromTimedelta(shown_within)
    return request


def rank_items_request(
    user_id: str, item_ids: Iterable[str], recent_events: Iterable[RecentEvent]
) -> pb2.RankItemsRequest:
    """Raises InvalidField."""
    events = [each.to_proto() for each in recent_events]
    if user_id or not events:
        check_id("user_id", user_id)
    return pb2.RankItemsRequest(user_id=user_id, item_ids=item_ids, recent_events=events)


def popular_items_request(
    k: int, window: Window, surface: str, exclude_item_ids: Iterable[str], wanted: Filter | None
) -> pb2.PopularItemsRequest:
    """Raises InvalidField."""
    _check_k(k)
    if window not in _WINDOWS:
        raise InvalidField("window", f"is {window!r}; {', '.join(_WINDOWS)} are allowed")
    return pb2.PopularItemsRequest(
        window=_WINDOWS[window],
        k=k,
        surface=surface,
        exclude_item_ids=exclude_item_ids,
        filter=None if wanted is None else wanted.to_proto(),
    )


def similar_items_request(item_id: str, k: int, wanted: Filter | None) -> pb2.SimilarItemsRequest:
    """Raises InvalidField."""
    check_id("item_id", item_id)
    _check_k(k)
    return pb2.SimilarItemsRequest(item_id=item_id, k=k, filter=None if wanted is None else wanted.to_proto())


def _check_k(k: int) -> None:
    if not 1 <= k <= MAX_K:
        raise InvalidField("k", f"is {k}; 1 to {MAX_K} are allowed")


def recommender_error(error: Any, target: str) -> RecommenderError:
    """The SDK's error for a failed call of the recommender."""
    return call_error(RecommenderError, error, target)


def call_error(kind: type[E], error: Any, target: str) -> E:
    """Reads the status, the ErrorInfo and the BadRequest out of a failed call, blocking or not (a grpc.RpcError)."""
    code: grpc.StatusCode = error.code()
    reason = field = ""
    metadata: Iterable[tuple[str, str | bytes]] = error.trailing_metadata() or ()
    for key, value in metadata:
        if key == _DETAILS_KEY and isinstance(value, bytes):
            reason, field = reason_and_field(value)
    return kind(code.name, error.details() or "no details", target=target, reason=reason, field=field)


def not_serving(target: str, timeout_s: float, last: str) -> RecommenderError:
    """The error of a wait that was in vain; `last` is what the last look saw."""
    return RecommenderError(
        "DEADLINE_EXCEEDED",
        f"no recommendations are served after {timeout_s:g} s (last seen: {last}); "
        "check the server's log, and that a model is live.",
        target=target,
    )


def reason_and_field(value: bytes) -> tuple[str, str]:
    """Of a serialised google.rpc.Status; empty words where the server said nothing."""
    reason = field = ""
    for detail in status_pb2.Status.FromString(value).details:
        info, bad = error_details_pb2.ErrorInfo(), error_details_pb2.BadRequest()
        if detail.Unpack(info):
            reason = info.reason
        elif detail.Unpack(bad) and bad.field_violations:
            field = bad.field_violations[0].field
    return reason, field
