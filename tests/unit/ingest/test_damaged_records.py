"""Good records with bytes changed, cut out, put in: whatever becomes of them, no decoder raises.

Deeper in than noise ever gets, since most of a record is still right. The inputs are the same in each run.
"""

import json
from collections.abc import Callable
from datetime import UTC, datetime
from random import Random
from typing import TypeAlias

import pytest
from google.protobuf import json_format

from nightjar.v1 import event_pb2, item_pb2, user_pb2
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.interactions import Interaction
from services.domain.items import Item
from services.domain.streams import DeadLetter, Partition, Record
from services.domain.users import Erasure, User
from services.ingest.codec import Limits, decode_event, decode_item, decode_user

NOW_US = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp() * 1e6)
LIMITS = Limits(max_record_bytes=65_536, max_future_us=86_400_000_000)
PLACE = Partition("nightjar.any.v1", 0)
JSON, PROTOBUF = "application/json", "application/x-protobuf"
NUM_DAMAGED = 100_000  # of each kind in each encoding: some ten seconds in all
TIME, KEY = "2026-01-02T03:04:05.678Z", "ada-日本".encode()
SPLINTERS = [
    b"",
    b"",
    b"{",
    b"}",
    b"[" * 9,
    b'"',
    b"\\ud800",
    b"\xff",
    b"\x00",
    b"null",
    b"1e999",
    b"-",
    b"\xf0\x9f",
    b":",
]
Decoded: TypeAlias = Interaction | Item | User | Erasure | DeadLetter


def damaged(value: bytes, random: Random) -> bytes:
    broken = bytearray(value)
    for _ in range(random.randint(1, 4)):
        place = random.randint(0, len(broken))
        splinter = random.choice(SPLINTERS) or random.randbytes(random.randint(0, 6))
        broken[place : place + random.randint(0, 6)] = splinter
    return bytes(broken)


def as_event(value: bytes, content_type: str) -> Decoded:
    return decode_event(Record(PLACE, 0, value, content_type), DEFAULT_EVENT_TYPES, LIMITS, NOW_US)


def as_item(value: bytes, content_type: str) -> Decoded:
    return decode_item(Record(PLACE, 0, value, content_type), LIMITS, NOW_US)


def as_user(value: bytes, content_type: str) -> Decoded:
    return decode_user(Record(PLACE, 0, value, content_type, KEY), LIMITS, NOW_US)


EVENT = {
    "eventId": "e",
    "userId": "ada",
    "itemId": "book",
    "type": "view",
    "eventTime": TIME,
    "value": 4,
    "position": 3,
    "surface": "home",
    "sessionId": "s",
    "requestId": "r",
    "attributes": {"page": "home"},
}
ITEM = {
    "itemId": "1",
    "title": "Night",
    "description": "A film.",
    "categories": ["Noir", "Crime"],
    "tags": ["dark"],
    "price": {"currencyCode": "EUR", "units": "12", "nanos": 990_000_000},
    "attributes": {"director": "Lang"},
    "updateTime": TIME,
    "availableFromTime": "2026-03-01T00:00:00.000001Z",
    "availableUntilTime": "9999-12-31T23:59:59Z",
    "hidden": True,
    "embedding": [0.5, -1.5],
}
USER = {"userId": KEY.decode(), "attributes": {"city": "London", "plan": "free"}, "updateTime": TIME}


@pytest.mark.parametrize(
    ("decode", "document", "kind"),
    [
        (as_event, EVENT, event_pb2.Event),
        (as_item, ITEM, item_pb2.Item),
        (as_user, USER, user_pb2.User),
    ],
    ids=["event", "item", "user"],
)
@pytest.mark.parametrize("content_type", [JSON, PROTOBUF])
def test_no_damage_raises(
    decode: Callable[[bytes, str], Decoded],
    document: dict[str, object],
    kind: type[event_pb2.Event | item_pb2.Item | user_pb2.User],
    content_type: str,
) -> None:
    """Of a full record, in either encoding; some stay good, and some do not."""
    text = json.dumps(document, ensure_ascii=False).encode()
    good = text if content_type == JSON else json_format.Parse(text, kind()).SerializeToString()
    whole = type(decode(good, content_type))
    assert whole in (Interaction, Item, User)
    random = Random(4)
    outcomes = {type(decode(damaged(good, random), content_type)) for _ in range(NUM_DAMAGED)}
    assert outcomes == {whole, DeadLetter}


def test_no_damaged_key_of_a_tombstone_raises() -> None:
    random = Random(4)
    keys = (damaged(KEY, random) for _ in range(NUM_DAMAGED))
    outcomes = {type(decode_user(Record(PLACE, 0, None, "", key, NOW_US), LIMITS, NOW_US)) for key in keys}
    assert outcomes == {Erasure, DeadLetter}
