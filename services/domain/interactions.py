"""Interactions: what users did, and a user's history of them."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import NamedTuple

from services.domain.ids import EventId, ItemId, UserId


class Interaction(NamedTuple):
    """One validated event. Times are microseconds since the epoch, UTC."""

    event_id: EventId
    user_id: UserId
    item_id: ItemId
    event_type: str
    event_time_us: int
    value: float | None = None
    session_id: str = ""
    request_id: str = ""
    position: int | None = None
    surface: str = ""
    attributes: Mapping[str, str] = MappingProxyType({})
    unknown_fields: str = ""
    """What a newer producer sent that this reader has no word for: a JSON object, kept in the log; empty for none.

    It has one member: `json`, the unknown members of a record in JSON, or `protobuf`, the bytes of a protobuf record's
    unknown fields in Base64.
    """


@dataclass(frozen=True, slots=True, order=True)
class HistoryEntry:
    """One event of a user's history, ordered as histories are: by time, ties by event id."""

    event_time_us: int
    event_id: EventId
    item_id: ItemId
    event_type: str
    value: float | None = field(default=None, compare=False)


@dataclass(frozen=True, slots=True)
class UserHistory:
    """What serving knows of a user: the newest events, oldest first, and every item they are done with (bounded)."""

    entries: tuple[HistoryEntry, ...] = ()
    consumed: frozenset[ItemId] = frozenset()
    version: str = ""
    """Fingerprint of entries and consumed items, hexadecimal; empty for a user without history."""
