"""The edge: the bytes of a record to a validated item, or the reason why it is dead."""

from nightjar.v1 import item_pb2
from services.domain.ids import ItemId
from services.domain.items import Item
from services.domain.streams import DeadLetter, DeadReason, Record
from services.ingest.codec.records import (
    MAX_CATEGORIES,
    MAX_TEXT_BYTES,
    MAX_WORD_BYTES,
    Dead,
    Limits,
    attributes_of,
    check_id,
    check_size,
    or_dead,
    parse,
    time_us_of,
)


def decode_item(record: Record, limits: Limits, now_us: int) -> Item | DeadLetter:
    """Never raises for anything a record may hold."""
    return or_dead(record, lambda: _item(record, limits, now_us))


def _item(record: Record, limits: Limits, now_us: int) -> Item:
    message = parse(record, item_pb2.Item, limits)
    check_id("item_id", message.item_id)
    check_size("title", message.title, MAX_TEXT_BYTES)
    if len(message.categories) > MAX_CATEGORIES:
        raise Dead(DeadReason.INVALID_FIELD, f"categories has {len(message.categories)}, at most {MAX_CATEGORIES}")
    for category in message.categories:
        check_size("categories", category, MAX_WORD_BYTES)
    return Item(
        item_id=ItemId(message.item_id),
        title=message.title,
        categories=tuple(message.categories),
        attributes=attributes_of(message.attributes),
        update_time_us=time_us_of("update_time", message, limits, now_us),
    )
