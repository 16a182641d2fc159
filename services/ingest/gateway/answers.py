"""The answer on the wire, and how large it may become: a client drops one that is larger than it takes."""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from nightjar.v1 import event_service_pb2 as wire
from nightjar.v1.event_pb2 import Event
from services.ingest.gateway.outcomes import MAX_ID_CHARACTERS, Outcome, Status

# A client takes 4 MiB unless told otherwise. Larger: nobody hears what became of the events; smaller: shorter streams.
MAX_ANSWER_BYTES: Final = 4 * 1_048_576
MAX_ROOM_BYTES: Final = 3_670_016  # 3.5 MiB, of results without sentences; larger: less is left to say what is wrong
RESULT_BYTES: Final = 34  # the most that a result takes beside its id and its sentence
SENTENCE_BYTES: Final = 3  # that a sentence takes beside its text

_STATUSES: Final[Mapping[Status, wire.PublishStatus.ValueType]] = {
    Status.STORED: wire.PUBLISH_STATUS_STORED,
    Status.INVALID: wire.PUBLISH_STATUS_INVALID,
    Status.NOT_STORED: wire.PUBLISH_STATUS_NOT_STORED,
}


def room_bytes(events: Iterable[Event]) -> int:
    """What an answer needs for these events whatever becomes of them, without sentences."""
    return sum(RESULT_BYTES + len(event.event_id[:MAX_ID_CHARACTERS].encode()) for event in events)


def results_of(outcomes: Sequence[Outcome]) -> list[wire.PublishResult]:
    """The results, in order; the last ones go without their sentence when the answer has no room left for it."""
    left_bytes = MAX_ANSWER_BYTES - sum(RESULT_BYTES + len(outcome.event_id.encode()) for outcome in outcomes)
    results = []
    for outcome in outcomes:
        left_bytes -= SENTENCE_BYTES + len(outcome.detail.encode()) if outcome.detail else 0
        results.append(
            wire.PublishResult(
                event_id=outcome.event_id,
                status=_STATUSES[outcome.status],
                problem=outcome.problem,
                detail=outcome.detail if left_bytes >= 0 else "",
            )
        )
    return results
