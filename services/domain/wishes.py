"""What a request wants of its list beside a user and a length: one value, frozen, with one fingerprint."""

from collections.abc import Iterator
from dataclasses import dataclass, fields, is_dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Final

from services.domain.ids import ItemId
from services.domain.items import Price


@dataclass(frozen=True, slots=True)
class Attribute:
    """An item's own word for something, such as `brand`, with the values that are meant."""

    name: str
    values: frozenset[str]


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items may be in a list: those that fulfil all that is said here."""

    any_categories: frozenset[str] = frozenset()
    """At least one of them; empty: whichever."""
    all_categories: frozenset[str] = frozenset()
    no_categories: frozenset[str] = frozenset()
    attributes: frozenset[Attribute] = frozenset()
    """Of each, one of its values."""
    min_price: Price | None = None
    """An item without a price, or with one in another currency, has none that fits."""
    max_price: Price | None = None


EVERYTHING: Final = Filter()


@dataclass(frozen=True, slots=True)
class Boost:
    """Items that are to come earlier, or later: exactly one of the three says which. weight: 0 or more, finite.

    An item's relevance is (its score - the lowest of all items) * the product of the weights of its boosts.
    """

    weight: float
    item_ids: frozenset[ItemId] = frozenset()
    category: str = ""
    attribute: Attribute | None = None


@dataclass(frozen=True, slots=True)
class MustInclude:
    """An item that is in the list whatever its score. position: its place, from 1; None: the first that is free."""

    item_id: ItemId
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """How many items of a category the list may have; category: empty for each that there is."""

    max_items: int
    category: str = ""


@dataclass(frozen=True)
class Wishes:
    """All of them. Two that are equal are fulfilled alike."""

    filter: Filter = EVERYTHING
    boosts: tuple[Boost, ...] = ()
    must_include: tuple[MustInclude, ...] = ()
    quotas: tuple[Quota, ...] = ()
    diversity: float = 0.0
    """0: by relevance alone; 1: by how unlike the items before it an item is alone."""
    context: tuple[ItemId, ...] = ()
    """What the user looks at, or has in the basket: items like these are mixed in."""
    surface: str = ""
    """Where the list is shown; what is popular there is the answer to a user of whom nothing is known."""
    is_paged: bool = False
    """Whether the list goes on, page by page."""

    @cached_property
    def fingerprint(self) -> str:
        """The same for equal wishes in any process, hexadecimal; empty for none."""
        return fingerprint(self) if self != NO_WISHES else ""

    @cached_property
    def asks_facts(self) -> bool:
        """Whether what is known of the items decides the list."""
        return bool(
            self.filter != EVERYTHING or self.quotas or any(boost.category or boost.attribute for boost in self.boosts)
        )


NO_WISHES: Final = Wishes()


def fingerprint(value: object) -> str:
    """Of a value made of dataclasses, tuples, frozensets, text and numbers; 32 hexadecimal digits."""
    return blake2b(b"".join(_encoded(value)), digest_size=16).hexdigest()


def _encoded(value: object) -> Iterator[bytes]:
    """Each part behind its kind and its length, so that no two values run together to the same bytes."""
    if is_dataclass(value):
        parts = [b"".join(_encoded(getattr(value, each.name))) for each in fields(value)]
        yield from _counted(b"d", parts)
    elif isinstance(value, frozenset):
        yield from _counted(b"s", sorted(b"".join(_encoded(each)) for each in value))
    elif isinstance(value, tuple):
        yield from _counted(b"t", [b"".join(_encoded(each)) for each in value])
    else:
        yield from _counted(type(value).__name__.encode(), [str(value).encode("utf-8", "surrogatepass")])


def _counted(kind: bytes, parts: list[bytes]) -> Iterator[bytes]:
    yield len(kind).to_bytes(4, "big") + kind + len(parts).to_bytes(4, "big")
    for part in parts:
        yield len(part).to_bytes(4, "big") + part
