"""Event: what a producer sends of what users do, as a small immutable object that becomes the contract's message."""

import secrets
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime

from nightjar.times import now, set_time
from nightjar.v1 import event_pb2


def new_event_id() -> str:
    """A random id that sorts by the time it was made: a UUIDv7 (RFC 9562) as 32 hexadecimal digits."""
    random = secrets.randbits(74)
    unix_ms = time.time_ns() // 1_000_000
    version, variant = 0x7 << 76, 0b10 << 62
    return f"{unix_ms << 80 | version | (random >> 62) << 64 | variant | random & (1 << 62) - 1:032x}"


@dataclass(frozen=True, slots=True)
class Event:
    """One thing a user did with one item; the fields are those of nightjar.v1.Event.

    The id is chosen here, so sending the same object again counts once. event_time must be aware; default now.
    """

    user_id: str
    item_id: str
    type: str
    value: float | None = None
    event_time: datetime = field(default_factory=now)
    event_id: str = field(default_factory=new_event_id)
    session_id: str = ""
    request_id: str = ""
    """The request_id of the Recommendation that this event answers."""
    position: int | None = None
    surface: str = ""
    attributes: Mapping[str, str] = field(default_factory=dict)

    def to_proto(self) -> event_pb2.Event:
        """The wire message; raises ValueError for what the wire cannot hold, InvalidField for a time without a zone."""
        message = event_pb2.Event(
            event_id=self.event_id,
            user_id=self.user_id,
            item_id=self.item_id,
            type=self.type,
            value=self.value,
            session_id=self.session_id,
            request_id=self.request_id,
            position=self.position,
            surface=self.surface,
            attributes=self.attributes,
        )
        set_time(message.event_time, "event_time", self.event_time)
        return message
