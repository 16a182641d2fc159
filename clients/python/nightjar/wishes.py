"""What a list is to be like, beside its length: filter, boosts, rules, diversity, pages; the contract's words."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

from nightjar.catalog import Price
from nightjar.errors import InvalidField
from nightjar.v1 import item_pb2
from nightjar.v1 import recommender_service_pb2 as pb2


@dataclass(frozen=True, slots=True)
class Filter:
    """Which items may be in a list; an item must fulfil all that is said. The list is full as long as items fit.

    attributes: by name, the values of which it must have one. An item without a price has none that fits.
    """

    any_categories: Iterable[str] = ()
    all_categories: Iterable[str] = ()
    no_categories: Iterable[str] = ()
    attributes: Mapping[str, Iterable[str]] = field(default_factory=dict)
    min_price: Price | None = None
    max_price: Price | None = None

    def to_proto(self) -> pb2.Filter:
        return pb2.Filter(
            any_categories=self.any_categories,
            all_categories=self.all_categories,
            no_categories=self.no_categories,
            attributes=[pb2.AttributeFilter(name=name, values=values) for name, values in self.attributes.items()],
            min_price=_price(self.min_price),
            max_price=_price(self.max_price),
        )


@dataclass(frozen=True, slots=True)
class Boost:
    """Items that come earlier (weight above 1) or later (below): exactly one of item_ids, category, and attribute.

    attribute: its name; values: one of which the item must have.
    """

    weight: float
    item_ids: Iterable[str] = ()
    category: str = ""
    attribute: str = ""
    values: Iterable[str] = ()

    def to_proto(self) -> pb2.Boost:
        """Raises InvalidField."""
        item_ids = tuple(self.item_ids)
        if [bool(item_ids), bool(self.category), bool(self.attribute)].count(True) != 1:
            raise InvalidField("boosts", "needs exactly one of item_ids, category and attribute")
        if item_ids:
            return pb2.Boost(weight=self.weight, items=pb2.ItemIds(item_ids=item_ids))
        if self.category:
            return pb2.Boost(weight=self.weight, category=self.category)
        return pb2.Boost(
            weight=self.weight, attribute=pb2.AttributeFilter(name=self.attribute, values=tuple(self.values))
        )


@dataclass(frozen=True, slots=True)
class MustInclude:
    """An item that is in the list whatever its score; position: its place, from 1; None: the first that is free."""

    item_id: str
    position: int | None = None


@dataclass(frozen=True, slots=True)
class Quota:
    """How many items of a category a list may have; category: empty for each that has no quota of its own."""

    max_items: int
    category: str = ""


@dataclass(frozen=True, slots=True)
class Wishes:
    """All of them, each left out where nothing is wanted.

    diversity: 0 by relevance alone, to 1. context_item_ids: what the user looks at or has in the basket; items like
    these are mixed in. surface: where the list is shown; what is popular there is the answer to a user of whom nothing
    is known. paged: the answer has a next_page_token while there is more.
    """

    filter: Filter | None = None
    boosts: Iterable[Boost] = ()
    must_include: Iterable[MustInclude] = ()
    quotas: Iterable[Quota] = ()
    diversity: float = 0.0
    context_item_ids: Iterable[str] = ()
    surface: str = ""
    paged: bool = False

    def write_to(self, request: pb2.RecommendRequest) -> None:
        """Raises InvalidField."""
        if self.filter is not None:
            request.filter.CopyFrom(self.filter.to_proto())
        request.boosts.extend(each.to_proto() for each in self.boosts)
        request.must_include.extend(
            pb2.MustInclude(item_id=each.item_id, position=each.position) for each in self.must_include
        )
        request.quotas.extend(
            pb2.CategoryQuota(category=each.category, max_items=each.max_items) for each in self.quotas
        )
        request.diversity = self.diversity
        request.context_item_ids.extend(self.context_item_ids)
        request.surface = self.surface
        request.paged = self.paged


def _price(price: Price | None) -> item_pb2.Price | None:
    if price is None:
        return None
    return item_pb2.Price(currency_code=price.currency_code, units=price.units, nanos=price.nanos)
