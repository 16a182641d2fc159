"""What a record of the items and the users topic becomes; never an exception."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest
from google.protobuf import json_format
from google.protobuf.message import Message
from hypothesis import given
from hypothesis import strategies as st

from nightjar.v1 import item_pb2, user_pb2
from services.domain.ids import ItemId, UserId
from services.domain.items import ALWAYS, Availability, Item, Price
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from services.domain.users import Erasure, User
from services.ingest.codec import Limits, decode_item, decode_user
from services.ingest.codec.records import END_OF_TIME_US

NOW_US = int(datetime(2026, 2, 1, tzinfo=UTC).timestamp() * 1e6)
LIMITS = Limits(max_record_bytes=65_536, max_future_us=86_400_000_000)
ITEMS, USERS = Partition("nightjar.items.v1", 0), Partition("nightjar.users.v1", 0)
PROTOBUF = "application/x-protobuf"


def item_json(**fields: Any) -> bytes:
    return json.dumps({"itemId": "1", "updateTime": "2026-01-01T00:00:00Z"} | fields).encode()


def decoded_item(value: bytes | None, content_type: str = "") -> Item | DeadLetter:
    return decode_item(Record(ITEMS, 0, value, content_type), LIMITS, NOW_US)


def test_an_item_of_its_id_alone_is_always_available() -> None:
    decoded = decoded_item(item_json())
    assert isinstance(decoded, Item)
    assert (decoded.price, decoded.availability, decoded.embedding) == (None, ALWAYS, ())


def test_every_field_of_an_item_is_decoded_from_json_and_protobuf_alike() -> None:
    value = item_json(
        title="Night",
        description="A film.",
        categories=["Noir"],
        tags=["dark"],
        price={"currencyCode": "EUR", "units": "12", "nanos": 990_000_000},
        availableFromTime="2026-03-01T00:00:00.000001Z",
        availableUntilTime="9999-12-31T23:59:59Z",
        hidden=True,
        embedding=[0.5, -1.5],
        fieldOfTomorrow={"a": 1},
    )
    message = item_pb2.Item(
        item_id="1",
        title="Night",
        description="A film.",
        categories=["Noir"],
        tags=["dark"],
        price=item_pb2.Price(currency_code="EUR", units=12, nanos=990_000_000),
        hidden=True,
        embedding=[0.5, -1.5],
    )
    message.update_time.FromJsonString("2026-01-01T00:00:00Z")
    message.available_from_time.FromJsonString("2026-03-01T00:00:00.000001Z")
    message.available_until_time.FromJsonString("9999-12-31T23:59:59Z")
    from_us, until_us = 1_772_323_200_000_001, 253_402_300_799_000_000
    expected = Item(
        ItemId("1"),
        "Night",
        ("Noir",),
        {},
        1_767_225_600_000_000,
        "A film.",
        ("dark",),
        Price("EUR", 12, 990_000_000),
        Availability(hidden=True, from_us=from_us, until_us=until_us),
        (0.5, -1.5),
    )
    assert decoded_item(value) == expected
    assert decoded_item(message.SerializeToString(), PROTOBUF) == expected


@pytest.mark.parametrize(
    ("fields", "hint"),
    [
        ({"itemId": ""}, "item_id is empty"),
        ({"title": "t" * 1_025}, "title"),
        ({"description": "d" * 8_193}, "description"),
        ({"categories": ["c"] * 65}, "categories has 65"),
        ({"categories": ["c" * 257]}, "categories"),
        ({"tags": ["t"] * 65}, "tags has 65"),
        ({"tags": ["t" * 257]}, "tags"),
        ({"price": {"units": "1"}}, "currency"),
        ({"price": {"currencyCode": "eur"}}, "currency"),
        ({"price": {"currencyCode": "EUR", "units": "-1"}}, "below 0"),
        ({"price": {"currencyCode": "EUR", "nanos": -1}}, "below 0"),
        ({"price": {"currencyCode": "EUR", "nanos": 1_000_000_000}}, "nanos"),
        ({"availableFromTime": "1969-12-31T23:59:59Z"}, "available_from_time"),
        ({"availableUntilTime": "1969-12-31T23:59:59Z"}, "available_until_time"),
        (
            {"availableFromTime": "2026-03-01T00:00:00Z", "availableUntilTime": "2026-03-01T00:00:00Z"},
            "available_until_time is not later",
        ),
        ({"embedding": [0.0] * 4_097}, "embedding has 4097"),
        ({"embedding": ["NaN"]}, "not finite"),
        ({"embedding": ["Infinity"]}, "not finite"),
    ],
)
def test_a_bad_item_dies_with_its_reason(fields: dict[str, Any], hint: str) -> None:
    decoded = decoded_item(item_json(**fields))
    assert isinstance(decoded, DeadLetter)
    assert decoded.reason is DeadReason.INVALID_FIELD
    assert hint in decoded.detail


def test_an_item_without_a_value_dies() -> None:
    """An item is hidden by saying so: a topic that loses its tombstones would show it again."""
    decoded = decoded_item(None)
    assert isinstance(decoded, DeadLetter)
    assert decoded.reason is DeadReason.MALFORMED


def user_record(value: bytes | None, key: bytes | None = b"ada", timestamp_us: int | None = None) -> Record:
    return Record(USERS, 3, value, "", key, timestamp_us)


def decoded_user(record: Record) -> User | Erasure | DeadLetter:
    return decode_user(record, LIMITS, NOW_US)


def test_a_user_is_decoded_from_json_and_protobuf_alike() -> None:
    message = user_pb2.User(user_id="ada", attributes={"city": "London"})
    message.update_time.FromMicroseconds(NOW_US)
    value = b'{"userId":"ada","attributes":{"city":"London"},"updateTime":"2026-02-01T00:00:00Z","fieldOfTomorrow":1}'
    expected = User(UserId("ada"), {"city": "London"}, NOW_US)
    assert decoded_user(user_record(value)) == expected
    assert decoded_user(Record(USERS, 0, message.SerializeToString(), PROTOBUF, b"ada")) == expected


def test_a_record_without_a_value_is_the_wish_of_its_key_at_its_own_time() -> None:
    """Read again later it is the same wish, so it forgets nothing that came after."""
    assert decoded_user(user_record(None, "日本".encode(), NOW_US - 5)) == Erasure(UserId("日本"), NOW_US - 5)
    assert decoded_user(user_record(None)) == Erasure(UserId("ada"), NOW_US)


def test_a_wish_from_a_clock_that_runs_ahead_forgets_nothing_of_the_future() -> None:
    assert decoded_user(user_record(None, timestamp_us=NOW_US + 10**12)) == Erasure(UserId("ada"), NOW_US)


GOOD = {"userId": "ada", "updateTime": "2026-01-01T00:00:00Z"}


@pytest.mark.parametrize(
    ("record", "reason", "hint"),
    [
        (user_record(b"{"), DeadReason.MALFORMED, "User"),
        (user_record(json.dumps(GOOD | {"userId": ""}).encode()), DeadReason.INVALID_FIELD, "user_id is empty"),
        (user_record(b'{"userId":"ada"}'), DeadReason.INVALID_FIELD, "update_time is missing"),
        (user_record(json.dumps(GOOD).encode(), b"bob"), DeadReason.INVALID_FIELD, "key"),
        (user_record(json.dumps(GOOD).encode(), None), DeadReason.INVALID_FIELD, "key"),
        (
            user_record(json.dumps(GOOD | {"attributes": {"k": "x" * 1_024}}).encode()),
            DeadReason.INVALID_FIELD,
            "attribute",
        ),
        (
            user_record(json.dumps(GOOD | {"updateTime": "2026-02-02T00:00:01Z"}).encode()),
            DeadReason.FUTURE_TIME,
            "86401",
        ),
        (user_record(b"x" * 65_537), DeadReason.OVERSIZED, "65536"),
        (user_record(None, None), DeadReason.INVALID_FIELD, "is empty"),
        (user_record(None, b"\xff"), DeadReason.MALFORMED, "UTF-8"),
        (user_record(None, b"a\nb"), DeadReason.INVALID_FIELD, "control character"),
    ],
)
def test_a_bad_user_record_dies_with_its_reason(record: Record, reason: DeadReason, hint: str) -> None:
    decoded = decoded_user(record)
    assert isinstance(decoded, DeadLetter)
    assert decoded.reason is reason
    assert hint in decoded.detail
    assert decoded.record.offset == 3


content_types = st.sampled_from(["", "application/json", PROTOBUF, "x/y"])


@given(st.none() | st.binary(max_size=200), st.none() | st.binary(max_size=20), content_types)
def test_no_bytes_raise(value: bytes | None, key: bytes | None, content_type: str) -> None:
    assert isinstance(decode_item(Record(ITEMS, 0, value, content_type, key), LIMITS, NOW_US), Item | DeadLetter)
    user = decode_user(Record(USERS, 0, value, content_type, key), LIMITS, NOW_US)
    assert isinstance(user, User | Erasure | DeadLetter)


def test_a_single_precision_embedding_stays_what_it_was() -> None:
    message = item_pb2.Item(item_id="1", embedding=[0.1])
    message.update_time.FromMicroseconds(1)
    decoded = decoded_item(message.SerializeToString(), PROTOBUF)
    assert isinstance(decoded, Item)
    assert decoded.embedding == tuple(message.embedding)


ids = st.text(st.characters(exclude_categories=("Cs", "Cc")), min_size=1, max_size=60)
words = st.text(st.characters(exclude_categories=["Cs"]), max_size=40)
times = st.integers(0, NOW_US)
moments = st.none() | st.integers(0, END_OF_TIME_US - 2)
attributes = st.dictionaries(words, words, max_size=4)
items = st.builds(
    Item,
    item_id=ids,
    title=words,
    categories=st.lists(words, max_size=4).map(tuple),
    attributes=attributes,
    update_time_us=times,
    description=words,
    tags=st.lists(words, max_size=4).map(tuple),
    price=st.none()
    | st.builds(
        Price,
        currency_code=st.sampled_from(["EUR", "JPY"]),
        units=st.integers(0, 2**63 - 1),
        nanos=st.integers(0, 999_999_999),
    ),
    availability=st.builds(
        lambda hidden, from_us, length_us: Availability(hidden, from_us, until_of(from_us, length_us)),
        st.booleans(),
        moments,
        st.none() | st.integers(1, 10**15),
    ),
    # The largest floats are rounded up in the JSON that protobuf writes, and protobuf then finds them too large.
    embedding=st.lists(st.floats(min_value=-(2.0**127), max_value=2.0**127, width=32), max_size=4).map(tuple),
)


def until_of(from_us: int | None, length_us: int | None) -> int | None:
    return None if length_us is None else min((from_us or 0) + length_us, END_OF_TIME_US - 1)


def in_both_encodings(message: Message) -> list[tuple[bytes, str]]:
    return [(message.SerializeToString(), PROTOBUF), (json_format.MessageToJson(message).encode(), "")]


@given(items)
def test_an_item_survives_either_encoding(item: Item) -> None:
    message = item_pb2.Item(
        item_id=item.item_id,
        title=item.title,
        categories=item.categories,
        attributes=item.attributes,
        description=item.description,
        tags=item.tags,
        hidden=item.availability.hidden,
        embedding=item.embedding,
    )
    message.update_time.FromMicroseconds(item.update_time_us)
    if item.price is not None:
        message.price.currency_code = item.price.currency_code
        message.price.units, message.price.nanos = item.price.units, item.price.nanos
    if item.availability.from_us is not None:
        message.available_from_time.FromMicroseconds(item.availability.from_us)
    if item.availability.until_us is not None:
        message.available_until_time.FromMicroseconds(item.availability.until_us)
    for value, content_type in in_both_encodings(message):
        assert decoded_item(value, content_type) == item


@given(st.builds(User, user_id=ids, attributes=attributes, update_time_us=times))
def test_a_user_survives_either_encoding(user: User) -> None:
    message = user_pb2.User(user_id=user.user_id, attributes=user.attributes)
    message.update_time.FromMicroseconds(user.update_time_us)
    for value, content_type in in_both_encodings(message):
        assert decoded_user(Record(USERS, 0, value, content_type, user.user_id.encode())) == user


@given(ids, times)
def test_a_tombstone_survives_as_the_wish_of_its_key(user_id: str, timestamp_us: int) -> None:
    assert decoded_user(user_record(None, user_id.encode(), timestamp_us)) == Erasure(UserId(user_id), timestamp_us)
