"""Every key and channel in Redis, and the bytes of a history member. Bounds and TTLs are in docs/sizing.md.

`nj:{user}:h`  sorted set, score = event_time in µs, member = one event       at most max_history members
`nj:{user}:c`  sorted set, score = newest event_time in µs, member = item id  at most max_consumed members
`nj:{user}:v`  16 hexadecimal digits, the fingerprint of the two sets above
`nj:cache:…`   one cached answer

All keys of a user share one hash tag, so that a Redis Cluster keeps them on one node and one script may touch them.
"""

from typing import Final, NamedTuple

from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import HistoryEntry

LIVE_MODEL_CHANNEL: Final = "nj:live-model"
CACHE_PREFIX: Final = b"nj:cache:"

# Ids hold no control characters, so NUL never occurs in one. It is also the smallest byte: members that share a score
# are ordered by event id, as histories are.
_SEPARATOR: Final = b"\x00"


class UserKeys(NamedTuple):
    history: bytes
    consumed: bytes
    version: bytes


def user_keys(user_id: UserId) -> UserKeys:
    """The keys of one user; two users never share one."""
    # A closing brace would end the hash tag early; the percent sign is escaped so that no two users escape alike.
    tag = user_id.replace("%", "%25").replace("}", "%7D").encode()
    return UserKeys(b"nj:{" + tag + b"}:h", b"nj:{" + tag + b"}:c", b"nj:{" + tag + b"}:v")


def to_member(event_id: EventId, item_id: ItemId, event_type: str, value: float | None) -> bytes:
    """One event as a member of the history set; the event id comes first, so ties in time sort by it."""
    number = "" if value is None else repr(value)
    return _SEPARATOR.join((event_id.encode(), item_id.encode(), event_type.encode(), number.encode()))


def from_member(member: bytes, event_time_us: int) -> HistoryEntry:
    event_id, item_id, event_type, number = member.decode().split("\x00")
    return HistoryEntry(
        event_time_us, EventId(event_id), ItemId(item_id), event_type, float(number) if number else None
    )
