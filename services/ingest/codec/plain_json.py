"""Events in JSON as nearly every producer writes them, read by msgspec: a microsecond where the protobuf library takes
a hundred. What proto3 JSON allows besides (a number as text, null, a time with an offset, …) is not understood here and
left to that library; what is understood means the same. One thing is laxer: of a field given twice the last counts.
"""

from datetime import UTC, datetime, timedelta
from typing import Annotated, Final

import msgspec

from services.ingest.codec.raw_event import RawEvent

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)

_Position = Annotated[int, msgspec.Meta(ge=0, le=2**32 - 1)]


class _Event(msgspec.Struct, frozen=True, gc=False):
    """Both spellings that proto3 JSON allows."""

    type: str = ""
    value: float | None = None
    position: _Position | None = None
    surface: str = ""
    attributes: dict[str, str] | None = None
    event_id: str = ""
    user_id: str = ""
    item_id: str = ""
    event_time: str | None = None
    session_id: str = ""
    request_id: str = ""
    eventId: str = ""  # noqa: N815 - the wire's name, as those below
    userId: str = ""  # noqa: N815
    itemId: str = ""  # noqa: N815
    eventTime: str | None = None  # noqa: N815
    sessionId: str = ""  # noqa: N815
    requestId: str = ""  # noqa: N815


class _KnownFieldsOnly(_Event, frozen=True, gc=False, forbid_unknown_fields=True):
    pass


_NAMES: Final = frozenset(_Event.__struct_fields__)

_strict: Final = msgspec.json.Decoder(_KnownFieldsOnly)
_lax: Final = msgspec.json.Decoder(_Event)
_whole: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])


def read_plain_json(text: bytes) -> RawEvent | None:
    """The event of a record; None when the protobuf library has to look at it."""
    try:
        try:
            event: _Event = _strict.decode(text)
            unknown_fields = ""
        except msgspec.ValidationError:
            event = _lax.decode(text)
            unknown_fields = _unknown_fields(text)
        if _in_two_spellings(event):
            return None
        time_us = _time_us(event.event_time if event.eventTime is None else event.eventTime)
    except (msgspec.DecodeError, ValueError, RecursionError):
        return None
    return (
        event.eventId or event.event_id,
        event.userId or event.user_id,
        event.itemId or event.item_id,
        event.type,
        time_us,
        event.value,
        event.sessionId or event.session_id,
        event.requestId or event.request_id,
        event.position,
        event.surface,
        event.attributes or {},
        unknown_fields,
    )


def _in_two_spellings(event: _Event) -> bool:
    """Whether any field is spelt one way and any the other: what is meant is left to the protobuf library."""
    snake = event.event_id or event.user_id or event.item_id or event.event_time or event.session_id or event.request_id
    camel = event.eventId or event.userId or event.itemId or event.eventTime or event.sessionId or event.requestId
    return bool(snake and camel)


def _time_us(text: str | None) -> int | None:
    """Raises ValueError for what is not written like 2026-01-02T03:04:05.678Z."""
    if text is None:
        return None
    in_shape = 20 <= len(text) <= 30 and text[4] == text[7] == "-" and text[13] == text[16] == ":"
    if not (in_shape and text[10] == "T" and text[11:13] < "24" and text[19] in ".Z" and text[-1] == "Z"):
        raise ValueError
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND


def part_known_from_unknown(text: bytes) -> tuple[bytes, str]:
    """The object without the members that the contract has no name for, and those as `Interaction.unknown_fields`.

    For records that `read_plain_json` leaves to the protobuf library, which would drop the unknown ones.
    """
    try:
        members = _whole.decode(text)
        known = {name: members[name] for name in members if name in _NAMES}
        return (text, "") if len(known) == len(members) else (msgspec.json.encode(known), _unknown_of(members))
    except (msgspec.DecodeError, ValueError, RecursionError):
        return text, ""  # that library says what is wrong with it


def _unknown_fields(text: bytes) -> str:
    return _unknown_of(_whole.decode(text))


def _unknown_of(members: dict[str, msgspec.Raw]) -> str:
    unknown = {name: members[name] for name in members if name not in _NAMES}
    return msgspec.json.encode({"json": unknown}).decode()
