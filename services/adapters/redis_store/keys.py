"""Every key and channel in Redis, and the bytes of a history member. Bounds and TTLs are in docs/sizing.md.

`nj:{user}:h`  sorted set, score = event_time in µs, member = one event       at most max_history members
`nj:{user}:c`  sorted set, score = newest event_time in µs, member = item id  at most max_consumed members
`nj:{user}:s`  sorted set, score = newest event_time in µs, member = item id  at most max_shown members
`nj:{user}:v`  16 hexadecimal digits, the fingerprint of the first two sets
`nj:{user}:a:…`  one cached answer, for ten minutes

`nj:ctr:shards`     sorted set of the shards below, score = when each is forgotten, in s
`nj:ctr:{shard}:d`  hash, the shard's directory: its fence, when each of its sorted sets expires, the rebuild it is of
`nj:ctr:{shard}:z:<era>:<surface>`  sorted set, member = item id, score = sum  at most max_items, see counters.lua
`nj:ctr:{shard}:i:<window>`  set of 64-bit hashes of the event ids counted in a window of offsets
`nj:new:{shard}:…`  the same shard while a rebuild makes it anew

All keys of a user, and all of a shard, share one hash tag, so that a Redis Cluster keeps them on one node and one
script may touch them.
"""

from typing import Final, NamedTuple

from services.domain.counters import Shard
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import HistoryEntry

LIVE_MODEL_CHANNEL: Final = "nj:live-model"
PREPARATION_CHANNEL: Final = "nj:preparation"
AVAILABILITY_CHANNEL: Final = "nj:availability"
SHARDS: Final = b"nj:ctr:shards"

# Ids hold no control characters, so NUL never occurs in one. It is also the smallest byte: members that share a score
# are ordered by event id, as histories are.
_SEPARATOR: Final = b"\x00"


class UserKeys(NamedTuple):
    history: bytes
    consumed: bytes
    version: bytes
    shown: bytes


def user_keys(user_id: UserId) -> UserKeys:
    """The keys of one user; two users never share one."""
    prefix = _prefix(user_id)
    return UserKeys(prefix + b"h", prefix + b"c", prefix + b"v", prefix + b"s")


HISTORIES: Final = b"nj:{*}:h"
"""What every key of a history matches; some other keys do, too."""


def user_of_history(key: bytes) -> UserId | None:
    """Whose history a key is of; None when it is none."""
    tag, brace, rest = key.removeprefix(b"nj:{").partition(b"}")
    if not key.startswith(b"nj:{") or brace + rest != b"}:h":
        return None
    return UserId(tag.decode().replace("%7D", "}").replace("%25", "%"))


def answer_key(user_id: UserId, key: bytes) -> bytes:
    """Where an answer to a user is kept: beside their history, so that one node is asked for both.

    Nobody is called "", so answers to visitors without a name are nobody's; they have no hash tag, and spread.
    """
    return _prefix(user_id) + b"a:" + key


def _prefix(user_id: UserId) -> bytes:
    # A closing brace would end the hash tag early; the percent sign is escaped so that no two users escape alike.
    return b"nj:{" + user_id.replace("%", "%25").replace("}", "%7D").encode() + b"}:"


def shard_prefix(shard: Shard, *, staged: bool = False) -> bytes:
    """What every key of one shard begins with; `staged`: of its copy that a rebuild makes."""
    return f"nj:{'new' if staged else 'ctr'}:{{{shard}}}:".encode()


def directory_key(shard: Shard, *, staged: bool = False) -> bytes:
    return shard_prefix(shard, staged=staged) + b"d"


def to_member(event_id: EventId, item_id: ItemId, event_type: str, value: float | None) -> bytes:
    """One event as a member of the history set; the event id comes first, so ties in time sort by it."""
    number = "" if value is None else repr(value)
    return f"{event_id}\x00{item_id}\x00{event_type}\x00{number}".encode()


def from_member(member: bytes, event_time_us: int) -> HistoryEntry:
    event_id, item_id, event_type, number = member.decode().split("\x00")
    return HistoryEntry(
        event_time_us, EventId(event_id), ItemId(item_id), event_type, float(number) if number else None
    )
