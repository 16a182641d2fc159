"""Items: what there is to recommend, and when."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.domain.ids import ItemId


@dataclass(frozen=True, slots=True)
class Price:
    """An exact amount of money: units + nanos / 10^9 of a currency named by three capital letters."""

    currency_code: str
    units: int
    nanos: int = 0


@dataclass(frozen=True, slots=True)
class Availability:
    """When an item may be recommended: from `from_us` on and before `until_us`, unless it is hidden."""

    hidden: bool = False
    from_us: int | None = None
    until_us: int | None = None

    def allows(self, now_us: int) -> bool:
        """Whether the item may be shown at this moment."""
        starts, ends = self.from_us, self.until_us
        return not self.hidden and (starts is None or starts <= now_us) and (ends is None or now_us < ends)

    @property
    def is_restricted(self) -> bool:
        """False for an item that may always be recommended."""
        return self != ALWAYS


ALWAYS = Availability()


@dataclass(frozen=True, slots=True)
class Item:
    """The present state of one catalogue item. Times are microseconds since the epoch, UTC."""

    item_id: ItemId
    title: str = ""
    categories: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    update_time_us: int = 0
    description: str = ""
    tags: tuple[str, ...] = ()
    price: Price | None = None
    availability: Availability = ALWAYS
    embedding: tuple[float, ...] = ()
    """The producer's own vector, float32 numbers; empty for none."""


@dataclass(frozen=True, slots=True)
class AvailabilityChanges:
    """What became of the items' availability up to a version of the catalog."""

    version: int
    """Counts up by one whenever the availability of any item changes; 0 while none ever has."""
    items: Mapping[ItemId, Availability]


@dataclass(frozen=True, slots=True)
class Facts:
    """What a request may ask of an item, apart from when it may be shown."""

    categories: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    tags: tuple[str, ...] = ()
    price: Price | None = None

    @classmethod
    def of(cls, item: Item) -> "Facts":
        return cls(item.categories, item.attributes, item.tags, item.price)


NO_FACTS = Facts()


@dataclass(frozen=True, slots=True)
class FactsMark:
    """How far a reader of the items' facts has come: to this item of those that this version of them changed."""

    version: int = 0
    """Counts up by one with each batch of items in which the facts of any change; 0 while none ever had any."""
    item_id: str = ""
    """In the order of the database, which nobody else needs to know; empty: before the first."""


@dataclass(frozen=True, slots=True)
class FactsPage:
    """Some of the items whose facts changed after a mark, as they are now."""

    version: int
    """The newest there is."""
    items: Mapping[ItemId, Facts]
    mark: FactsMark
    """Where to read on: of the last of these items, or the one asked about when there are none."""
    is_last: bool
