"""Items and users as producers make them, and what they look like on the wire."""

from datetime import UTC, datetime, timedelta, timezone
from decimal import Decimal
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nightjar import InvalidField, Item, Price, User
from nightjar.v1 import item_pb2, user_pb2
from nightjar.validation import check_item, check_user

words = st.text(st.characters(codec="utf-8", exclude_categories=["Cc"]), min_size=1, max_size=60)
zones = st.sampled_from([UTC, timezone(timedelta(hours=5, minutes=30))])
moments = st.datetimes(datetime(1970, 1, 2), datetime(2100, 1, 1), timezones=zones)
later = st.datetimes(datetime(2100, 1, 2), timezones=zones)
attributes = st.dictionaries(words, words, max_size=5)
lists_of_words = st.lists(words, max_size=5).map(tuple)
prices = st.builds(Price, st.just("EUR"), st.integers(0, 2**63 - 1), st.integers(0, 999_999_999))


@given(
    item=st.builds(
        Item,
        item_id=words,
        title=st.just("") | words,
        categories=lists_of_words,
        attributes=attributes,
        update_time=moments,
        description=st.just("") | words,
        tags=lists_of_words,
        price=st.none() | prices,
        available_from_time=st.none() | moments,
        available_until_time=st.none() | later,
        hidden=st.booleans(),
        embedding=st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), max_size=5).map(tuple),
    )
)
def test_an_item_survives_the_wire(item: Item) -> None:
    """Every field that is allowed comes back as it was, and unset stays unset."""
    message = item.to_proto()
    check_item(message)
    assert _item_of(item_pb2.Item.FromString(message.SerializeToString())) == item


def _item_of(read: item_pb2.Item) -> Item:
    has = read.HasField
    return Item(
        read.item_id,
        read.title,
        tuple(read.categories),
        dict(read.attributes),
        read.update_time.ToDatetime(UTC),
        read.description,
        tuple(read.tags),
        Price(read.price.currency_code, read.price.units, read.price.nanos) if has("price") else None,
        read.available_from_time.ToDatetime(UTC) if has("available_from_time") else None,
        read.available_until_time.ToDatetime(UTC) if has("available_until_time") else None,
        read.hidden,
        tuple(read.embedding),
    )


@given(user=st.builds(User, user_id=words, attributes=attributes, update_time=moments))
def test_a_user_survives_the_wire(user: User) -> None:
    message = user.to_proto()
    check_user(message)
    read = user_pb2.User.FromString(message.SerializeToString())
    assert User(read.user_id, dict(read.attributes), read.update_time.ToDatetime(UTC)) == user


@pytest.mark.parametrize(
    ("amount", "units", "nanos"),
    [("12.99", 12, 990_000_000), ("0.000000001", 0, 1), (7, 7, 0), (Decimal("1e3"), 1_000, 0), ("0", 0, 0)],
)
def test_a_price_is_exact(amount: Decimal | int | str, units: int, nanos: int) -> None:
    price = Price.of(amount, "EUR")
    assert price == Price("EUR", units, nanos)
    assert price.amount == Decimal(amount)


@pytest.mark.parametrize("amount", ["12,99", "", "0.0000000001", "NaN", "Infinity"])
def test_what_is_no_amount_or_too_fine_is_refused(amount: str) -> None:
    with pytest.raises(InvalidField) as refused:
        Price.of(amount, "EUR")
    assert refused.value.field == "price"


MOMENT = datetime(2026, 1, 31, tzinfo=UTC)


@pytest.mark.parametrize(
    ("item", "field"),
    [
        (Item(""), "item_id"),
        (Item("i", title="x" * 1_025), "title"),
        (Item("i", description="x" * 8_193), "description"),
        (Item("i", categories=("c",) * 65), "categories"),
        (Item("i", categories=("x" * 257,)), "categories"),
        (Item("i", tags=("t",) * 65), "tags"),
        (Item("i", tags=("x" * 257,)), "tags"),
        (Item("i", attributes={"k": "x" * 1_024}), "attributes"),
        (Item("i", price=Price("Euro", 1)), "price"),
        (Item("i", price=Price.of("-0.5", "EUR")), "price"),
        (Item("i", price=Price("EUR", 1, 1_000_000_000)), "price"),
        (Item("i", available_from_time=datetime(1969, 12, 31, tzinfo=UTC)), "available_from_time"),
        (Item("i", available_from_time=MOMENT, available_until_time=MOMENT), "available_until_time"),
        (Item("i", embedding=(0.5,) * 4_097), "embedding"),
        (Item("i", embedding=(float("nan"),)), "embedding"),
        (Item("i", categories=("x" * 256,) * 64, tags=("x" * 256,) * 64, embedding=(0.5,) * 4_096,
              description="d" * 8_192, attributes={str(n): "x" * 1_000 for n in range(9)}), "record"),
    ],
)  # fmt: skip
def test_an_item_that_breaks_the_contract_is_refused_by_field(item: Item, field: str) -> None:
    with pytest.raises(InvalidField) as refused:
        check_item(item.to_proto())
    assert refused.value.field == field


@pytest.mark.parametrize(
    ("changes", "field"),
    [
        ({"user_id": ""}, "user_id"),
        ({"user_id": "a\nb"}, "user_id"),
        ({"attributes": {"k": "x" * 1_024}}, "attributes"),
        ({"update_time": datetime(1969, 12, 31, tzinfo=UTC)}, "update_time"),
    ],
)
def test_a_user_that_breaks_the_contract_is_refused_by_field(changes: dict[str, Any], field: str) -> None:
    user = User(**{"user_id": "u"} | changes)
    with pytest.raises(InvalidField) as refused:
        check_user(user.to_proto())
    assert refused.value.field == field


def test_a_time_without_a_zone_is_refused() -> None:
    with pytest.raises(InvalidField, match="available_until_time has no time zone"):
        Item("i", available_until_time=datetime(2026, 1, 31)).to_proto()
