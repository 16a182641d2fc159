"""What a request wants of its list, from the wire into the domain's words; each problem names its field.

Whether a category exists is known further in, by the catalog.
"""

import math
from collections.abc import Callable, Sequence
from typing import Final, TypeVar

from nightjar.v1 import item_pb2
from nightjar.v1 import recommender_service_pb2 as wire
from services.domain.errors import InvalidRequest
from services.domain.ids import ItemId, id_problem
from services.domain.items import Price
from services.domain.pages import Page
from services.domain.wishes import EVERYTHING, NO_WISHES, Attribute, Boost, Filter, MustInclude, Quota, Wishes
from services.inference.rpc import validation

M = TypeVar("M")
T = TypeVar("T")

MAX_WORDS: Final = 64  # of a field. Larger: a request costs milliseconds; smaller: a shop's menu does not fit
MAX_WORD_BYTES: Final = 1_024
MAX_ATTRIBUTES: Final = 32
MAX_BOOSTS: Final = 8  # larger: products of weights leave float32; smaller: campaigns don't fit
MAX_WEIGHT: Final = 1_000.0  # larger: as above; smaller: nothing is gained, for it is first long before
MAX_BOOSTED: Final = 1_000
MAX_REQUIRED: Final = 50
MAX_QUOTAS: Final = 64
MAX_CONTEXT: Final = 20  # larger: a search for each; smaller: a basket is cut off
_CURRENCY: Final = frozenset("ABCDEFGHIJKLMNOPQRSTUVWXYZ")


def wishes_of(request: wire.RecommendRequest) -> Wishes:
    """NO_WISHES itself for none. Raises InvalidRequest."""
    if not _has_any(request):  # most requests: they are to cost nothing here
        return NO_WISHES
    excluded = frozenset(request.exclude_item_ids)
    wishes = Wishes(
        filter=filter_of(request.filter) if request.HasField("filter") else EVERYTHING,
        boosts=_each("boosts", request.boosts, MAX_BOOSTS, _boost) if request.boosts else (),
        must_include=_must_include(request.must_include, excluded) if request.must_include else (),
        quotas=_each("quotas", request.quotas, MAX_QUOTAS, _quota) if request.quotas else (),
        diversity=_diversity(request.diversity) if request.diversity else 0.0,
        context=_context(request.context_item_ids) if request.context_item_ids else (),
        surface=validation.surface(request.surface) if request.surface else "",
        is_paged=request.paged or bool(request.page_token),
    )
    return NO_WISHES if wishes == NO_WISHES else wishes


def _has_any(request: wire.RecommendRequest) -> bool:
    return bool(
        request.HasField("filter")
        or request.boosts
        or request.must_include
        or request.quotas
        or request.diversity
        or request.context_item_ids
        or request.surface
        or request.paged
        or request.page_token
    )


def page_of(request: wire.RecommendRequest) -> Page | None:
    """None: the first. Raises InvalidRequest, and PageExpired for a token of another version of this software."""
    return Page.of(request.page_token) if request.page_token else None


def filter_of(message: wire.Filter) -> Filter:
    """Raises InvalidRequest."""
    low = _price("filter.min_price", message.min_price) if message.HasField("min_price") else None
    high = _price("filter.max_price", message.max_price) if message.HasField("max_price") else None
    if low is not None and high is not None:
        if low.currency_code != high.currency_code:
            raise InvalidRequest("filter.max_price", f"is in {high.currency_code}, min_price in {low.currency_code}")
        if (low.units, low.nanos) > (high.units, high.nanos):
            raise InvalidRequest("filter.max_price", "is less than min_price")
    return Filter(
        any_categories=_words("filter.any_categories", message.any_categories),
        all_categories=_words("filter.all_categories", message.all_categories),
        no_categories=_words("filter.no_categories", message.no_categories),
        attributes=frozenset(_each("filter.attributes", message.attributes, MAX_ATTRIBUTES, _attribute)),
        min_price=low,
        max_price=high,
    )


def _each(field: str, messages: Sequence[M], most: int, read: Callable[[str, M], T]) -> tuple[T, ...]:
    _check_count(field, messages, most)
    return tuple(read(f"{field}[{number}]", message) for number, message in enumerate(messages))


def _check_count(field: str, values: Sequence[object], most: int) -> None:
    if len(values) > most:
        raise InvalidRequest(field, f"has {len(values)} entries; at most {most} are allowed")


def _words(field: str, values: Sequence[str]) -> frozenset[str]:
    return frozenset(_each(field, values, MAX_WORDS, _word))


def _word(field: str, value: str) -> str:
    if not value:
        raise InvalidRequest(field, "is empty")
    return _value(field, value)


def _value(field: str, value: str) -> str:
    """Of an attribute, which may be empty."""
    if len(value.encode()) > MAX_WORD_BYTES:
        raise InvalidRequest(field, f"is longer than {MAX_WORD_BYTES} bytes")
    return value


def _attribute(field: str, message: wire.AttributeFilter) -> Attribute:
    if not message.values:
        raise InvalidRequest(f"{field}.values", "is empty; name at least one value")
    values = _each(f"{field}.values", message.values, MAX_WORDS, _value)
    return Attribute(_word(f"{field}.name", message.name), frozenset(values))


def _price(field: str, message: item_pb2.Price) -> Price:
    if len(message.currency_code) != 3 or not _CURRENCY.issuperset(message.currency_code):
        raise InvalidRequest(f"{field}.currency_code", "is not three capital letters A to Z")
    if message.units < 0:
        raise InvalidRequest(f"{field}.units", "is negative")
    if not 0 <= message.nanos < 1_000_000_000:
        raise InvalidRequest(f"{field}.nanos", "is not from 0 to 999,999,999")
    return Price(message.currency_code, message.units, message.nanos)


def _boost(field: str, message: wire.Boost) -> Boost:
    weight = message.weight
    if not message.HasField("weight") or not math.isfinite(weight) or not 0 <= weight <= MAX_WEIGHT:
        raise InvalidRequest(f"{field}.weight", f"is {weight:g}; a number from 0 to {MAX_WEIGHT:g} is required")
    match message.WhichOneof("target"):
        case "items":
            return Boost(weight, item_ids=_boosted(f"{field}.items.item_ids", message.items.item_ids))
        case "category":
            return Boost(weight, category=_word(f"{field}.category", message.category))
        case "attribute":
            return Boost(weight, attribute=_attribute(f"{field}.attribute", message.attribute))
        case _:
            raise InvalidRequest(f"{field}.target", "is missing; name items, a category or an attribute")


def _boosted(field: str, values: Sequence[str]) -> frozenset[ItemId]:
    if not values:
        raise InvalidRequest(field, "is empty; name at least one item")
    return frozenset(_each(field, values, MAX_BOOSTED, _item_id))


def _item_id(field: str, value: str) -> ItemId:
    problem = id_problem(value)
    if problem is not None:
        raise InvalidRequest(field, problem)
    return ItemId(value)


def _must_include(messages: Sequence[wire.MustInclude], excluded: frozenset[str]) -> tuple[MustInclude, ...]:
    wanted = _each("must_include", messages, MAX_REQUIRED, _required)
    ids, positions = set[ItemId](), set[int]()
    for number, each in enumerate(wanted):
        if each.item_id in ids:
            raise InvalidRequest(f"must_include[{number}].item_id", "is named twice")
        if each.item_id in excluded:
            raise InvalidRequest(f"must_include[{number}].item_id", "is among exclude_item_ids too")
        if each.position in positions:
            raise InvalidRequest(f"must_include[{number}].position", f"is {each.position}, which is taken")
        ids.add(each.item_id)
        if each.position is not None:
            positions.add(each.position)
    return wanted


def _required(field: str, message: wire.MustInclude) -> MustInclude:
    item_id = _item_id(f"{field}.item_id", message.item_id)
    if not message.HasField("position"):
        return MustInclude(item_id)
    if not 1 <= message.position <= validation.MAX_K:
        raise InvalidRequest(f"{field}.position", f"is {message.position}; 1 to {validation.MAX_K} are allowed")
    return MustInclude(item_id, message.position)


def _quota(field: str, message: wire.CategoryQuota) -> Quota:
    if not message.HasField("max_items") or message.max_items > validation.MAX_K:
        raise InvalidRequest(f"{field}.max_items", f"must be from 0 to {validation.MAX_K}")
    return Quota(message.max_items, _value(f"{field}.category", message.category))


def _diversity(value: float) -> float:
    if not 0 <= value <= 1:
        raise InvalidRequest("diversity", f"is {value:g}; 0 to 1 are allowed")
    return value


def _context(values: Sequence[str]) -> tuple[ItemId, ...]:
    return tuple(dict.fromkeys(_each("context_item_ids", values, MAX_CONTEXT, _item_id)))
