"""What an item is like, in words that items can share: content, from which models know items that nobody chose yet."""

import math
import re
from collections.abc import Iterator
from typing import Final

from services.domain.items import Item, Price

_WORD: Final = re.compile(r"\w+")
_RATIO: Final = 1.5  # larger: dear and cheap are alike; smaller: hardly two items share a price
MAX_FEATURES: Final = 64  # larger: a novel as a description drowns the rest; smaller: long titles lose words


def item_features(item: Item) -> tuple[str, ...]:
    """At most MAX_FEATURES, each once, the most telling kinds first."""
    found = dict.fromkeys(_features(item))
    return tuple(found)[:MAX_FEATURES]


def item_text(item: Item) -> str:
    """What a sentence encoder reads of an item; empty for one without title and description."""
    return "\n".join(filter(None, (item.title.strip(), item.description.strip())))


def words(name: str, text: str) -> Iterator[str]:
    """One feature for each word, in lower case."""
    yield from (f"{name}={word}" for word in _WORD.findall(text.lower()))


def magnitude(name: str, number: float) -> Iterator[str]:
    """The feature of numbers of about this size; none for zero and for what is no number."""
    if number and math.isfinite(number):
        yield f"{name}~{round(math.log(abs(number), _RATIO))}"


def _features(item: Item) -> Iterator[str]:
    yield from (f"category={category}" for category in item.categories)
    yield from (f"tag={tag}" for tag in item.tags)
    yield from (f"{name}={value}" for name, value in item.attributes.items())
    yield from words("title", item.title)
    if item.price is not None:
        yield from magnitude(f"price {item.price.currency_code}", _amount(item.price))
    yield from words("description", item.description)


def _amount(price: Price) -> float:
    return price.units + price.nanos / 1e9
