"""The edge: the bytes of a record to a validated item, or the reason why it is dead."""

import math
import re
from collections.abc import Sequence
from typing import Final

from nightjar.v1 import item_pb2
from services.domain.ids import ItemId
from services.domain.items import Availability, Item, Price
from services.domain.streams import DeadLetter, DeadReason, Record
from services.ingest.codec.records import (
    MAX_CATEGORIES,
    MAX_TEXT_BYTES,
    MAX_WORD_BYTES,
    Dead,
    Limits,
    attributes_of,
    check_calendar,
    check_id,
    check_size,
    moment_us,
    or_dead,
    parse,
    time_us_of,
)

MAX_DESCRIPTION_BYTES: Final = 8_192
MAX_TAGS: Final = 64
MAX_EMBEDDING: Final = 4_096

_CURRENCY_CODE: Final = re.compile("[A-Z]{3}")
_NANOS: Final = 1_000_000_000


def decode_item(record: Record, limits: Limits, now_us: int) -> Item | DeadLetter:
    """Never raises for anything a record may hold."""
    return or_dead(record, lambda: _item(record, limits, now_us))


def _item(record: Record, limits: Limits, now_us: int) -> Item:
    message = parse(record, item_pb2.Item, limits)
    check_id("item_id", message.item_id)
    check_size("title", message.title, MAX_TEXT_BYTES)
    check_size("description", message.description, MAX_DESCRIPTION_BYTES)
    return Item(
        item_id=ItemId(message.item_id),
        title=message.title,
        categories=_words("categories", message.categories, MAX_CATEGORIES),
        attributes=attributes_of(message.attributes),
        update_time_us=time_us_of("update_time", message, limits, now_us),
        description=message.description,
        tags=_words("tags", message.tags, MAX_TAGS),
        price=_price(message.price) if message.HasField("price") else None,
        availability=_availability(message),
        embedding=_embedding(message.embedding),
    )


def _words(field: str, words: Sequence[str], max_words: int) -> tuple[str, ...]:
    if len(words) > max_words:
        raise Dead(DeadReason.INVALID_FIELD, f"{field} has {len(words)}, at most {max_words}")
    for word in words:
        check_size(field, word, MAX_WORD_BYTES)
    return tuple(words)


def _price(price: item_pb2.Price) -> Price:
    if not _CURRENCY_CODE.fullmatch(price.currency_code):
        raise Dead(DeadReason.INVALID_FIELD, "price has a currency that is not three capital letters")
    if price.units < 0 or not 0 <= price.nanos < _NANOS:
        raise Dead(DeadReason.INVALID_FIELD, "price is below 0, or its nanos are not within 0 to 999,999,999")
    return Price(price.currency_code, price.units, price.nanos)


def _availability(message: item_pb2.Item) -> Availability:
    """A window may lie as far in the future as it likes, unlike what has happened."""
    from_us, until_us = moment_us("available_from_time", message), moment_us("available_until_time", message)
    if from_us is not None:
        check_calendar("available_from_time", from_us)
    if until_us is not None:
        check_calendar("available_until_time", until_us)
        if from_us is not None and until_us <= from_us:
            raise Dead(DeadReason.INVALID_FIELD, "available_until_time is not later than available_from_time")
    return Availability(message.hidden, from_us, until_us)


def _embedding(numbers: Sequence[float]) -> tuple[float, ...]:
    if len(numbers) > MAX_EMBEDDING:
        raise Dead(DeadReason.INVALID_FIELD, f"embedding has {len(numbers)} numbers, at most {MAX_EMBEDDING}")
    if not all(map(math.isfinite, numbers)):
        raise Dead(DeadReason.INVALID_FIELD, "embedding holds a number that is not finite")
    return tuple(numbers)
