"""An answer's size is known before anybody knows what becomes of its events."""

from itertools import product

import pytest

from nightjar.v1 import event_pb2
from nightjar.v1 import event_service_pb2 as wire
from services.domain.streams import DeadReason
from services.ingest.gateway.answers import MAX_ANSWER_BYTES, MAX_ROOM_BYTES, results_of, room_bytes
from services.ingest.gateway.outcomes import BROKER_DOWN, NO_ANSWER_IN_TIME, Outcome, Status

PROBLEMS = [*(reason.value for reason in DeadReason), BROKER_DOWN, NO_ANSWER_IN_TIME]


@pytest.mark.parametrize(("problem", "event_id"), list(product(PROBLEMS, ["", "e", "x" * 256, "é" * 256, "日" * 256])))
def test_no_result_takes_more_than_was_reckoned_with(problem: str, event_id: str) -> None:
    outcome = Outcome(event_id, Status.NOT_STORED, problem)
    answer = wire.PublishEventStreamResponse(results=results_of([outcome]))
    assert answer.ByteSize() <= room_bytes([event_pb2.Event(event_id=event_id)])


def test_sentences_fill_what_is_left_and_no_more() -> None:
    outcomes = [Outcome("é" * 256, Status.NOT_STORED, NO_ANSWER_IN_TIME, "日" * 512)] * 6_000
    assert room_bytes(event_pb2.Event(event_id=outcome.event_id) for outcome in outcomes) < MAX_ROOM_BYTES
    answer = wire.PublishEventStreamResponse(results=results_of(outcomes))
    assert MAX_ANSWER_BYTES - 200_000 < answer.ByteSize() <= MAX_ANSWER_BYTES
    assert answer.results[0].detail
    assert len(answer.results) == 6_000
