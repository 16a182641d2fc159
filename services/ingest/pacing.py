"""Sends logged events again, at the pace they once came or as fast as it goes."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator

from nightjar.v1 import event_pb2
from services.domain.interactions import Interaction


def paced(
    events: Iterable[Interaction], speed: float, elapsed_s: Callable[[], float], wait: Callable[[float], bool]
) -> Iterator[Interaction]:
    """The events in their order, each when it is due.

    speed: event seconds that pass in one second; 0 waits for nothing. elapsed_s: seconds since the first one was asked
    for. wait: waits that many seconds, and says whether to end.
    """
    first_us: int | None = None
    for event in events:
        first_us = event.event_time_us if first_us is None else first_us
        due_s = (event.event_time_us - first_us) / 1_000_000 / speed if speed else 0.0
        if wait(max(due_s - elapsed_s(), 0.0)):
            return
        yield event


def to_message(event: Interaction) -> event_pb2.Event:
    """The event as it is on the wire, with its own id: sent again, it is a duplicate of itself.

    Fields of a newer producer stay where they came as protobuf; those of a JSON record have no place here.
    """
    unknown = json.loads(event.unknown_fields).get("protobuf", "") if event.unknown_fields else ""
    message = event_pb2.Event()
    message.MergeFromString(base64.b64decode(unknown))
    message.MergeFrom(
        event_pb2.Event(
            event_id=event.event_id,
            user_id=event.user_id,
            item_id=event.item_id,
            type=event.event_type,
            value=event.value,
            session_id=event.session_id,
            request_id=event.request_id,
            position=event.position,
            surface=event.surface,
            attributes=event.attributes,
        )
    )
    message.event_time.FromMicroseconds(event.event_time_us)
    return message
