"""Events as people write them: one JSON object a line, in the field names of nightjar.v1.Event."""

from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from google.protobuf import json_format

from nightjar.errors import InvalidField
from nightjar.events import new_event_id
from nightjar.v1 import event_pb2
from nightjar.validation import check_event
from services.domain.errors import InvalidRequest
from services.domain.event_types import EventTypes
from services.domain.streams import DeadLetter, Partition, Record
from services.ingest.codec import Limits, decode_event

_NOWHERE: Final = Partition("", -1)


def read_events(lines: Iterable[str], declared: EventTypes, limits: Limits) -> Iterator[event_pb2.Event]:
    """The events of proto3 JSON lines; empty lines are skipped. A missing event_id is chosen, a missing time is now.

    Raises InvalidRequest, naming the line and the field, at the first line that is no good event.
    """
    for number, line in enumerate(lines, start=1):
        if line.strip():
            try:
                yield completed(json_format.Parse(line, event_pb2.Event()), declared, limits)
            except json_format.ParseError as error:
                raise InvalidRequest(f"line {number}:", f"is no event: {error}") from error
            except InvalidRequest as error:
                raise InvalidRequest(f"line {number}: {error.field}", error.problem) from error


def completed(event: event_pb2.Event, declared: EventTypes, limits: Limits) -> event_pb2.Event:
    """The event with an id and a time, checked; raises InvalidRequest for what would end as a dead letter."""
    now = datetime.now(UTC)
    if not event.event_id:
        event.event_id = new_event_id()
    if not event.HasField("event_time"):
        event.event_time.FromDatetime(now)
    try:
        check_event(event)
    except InvalidField as error:
        raise InvalidRequest(error.field, error.problem) from error
    if declared.get(event.type) is None:
        raise InvalidRequest(
            "type", f"{event.type!r} is not declared; the settings declare {', '.join(declared.names())}"
        )
    _check_that_writers_take_it(event, declared, limits, now)
    return event


def _check_that_writers_take_it(event: event_pb2.Event, declared: EventTypes, limits: Limits, now: datetime) -> None:
    """By the writers' own codec: what Kafka stores is no event yet where a time lies too far ahead, say."""
    record = Record(_NOWHERE, -1, event.SerializeToString(), "application/x-protobuf")
    decoded = decode_event(record, declared, limits, int(now.timestamp() * 1_000_000))
    if isinstance(decoded, DeadLetter):
        raise InvalidRequest("event", f"would end as a dead letter, {decoded.reason.value}: {decoded.detail}")
