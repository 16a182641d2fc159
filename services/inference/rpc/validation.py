"""What a well-formed request is; each problem names its field in the contract's words.

Reasons for the audit log are checked by the registry, which is also used without gRPC.
"""

from collections.abc import Sequence
from typing import Final

from services.domain.errors import InvalidRequest
from services.domain.ids import ItemId, ModelVersion, UserId, id_problem

DEFAULT_K: Final = 10
MAX_K: Final = 500
MAX_EXCLUDED: Final = 10_000  # larger: a request costs milliseconds; smaller: a long page cannot be left out
MAX_RANKED: Final = 1_000  # larger: as above; smaller: a search brings more
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1_000


def user_id(value: str) -> UserId:
    return UserId(_well_formed("user_id", value))


def item_id(value: str) -> ItemId:
    return ItemId(_well_formed("item_id", value))


def excluded_items(values: Sequence[str]) -> frozenset[ItemId]:
    return frozenset(_item_ids("exclude_item_ids", values, MAX_EXCLUDED))


def items_to_rank(values: Sequence[str]) -> list[ItemId]:
    """Each once, in the caller's order."""
    if not values:
        raise InvalidRequest("item_ids", "is empty; name at least one item")
    item_ids = _item_ids("item_ids", values, MAX_RANKED)
    if len(set(item_ids)) < len(item_ids):
        raise InvalidRequest("item_ids", "names an item twice")
    return item_ids


def _item_ids(field: str, values: Sequence[str], most: int) -> list[ItemId]:
    if len(values) > most:
        raise InvalidRequest(field, f"has {len(values)} items; at most {most} are allowed")
    for number, value in enumerate(values):
        if (problem := id_problem(value)) is not None:
            raise InvalidRequest(f"{field}[{number}]", problem)
    return list(map(ItemId, values))


def version(value: str, field: str = "version") -> ModelVersion:
    return ModelVersion(_well_formed(field, value))


def actor(value: str) -> str:
    return _well_formed("actor", value)


def surface(value: str) -> str:
    return _well_formed("surface", value)


def k(value: int | None) -> int:
    """How many items; None when the field is unset."""
    return _within("k", DEFAULT_K if value is None else value, MAX_K)


def page_size(value: int | None) -> int:
    """How many models; None when the field is unset."""
    return _within("page_size", DEFAULT_PAGE_SIZE if value is None else value, MAX_PAGE_SIZE)


def _well_formed(field: str, value: str) -> str:
    problem = id_problem(value)
    if problem is not None:
        raise InvalidRequest(field, problem)
    return value


def _within(field: str, value: int, most: int) -> int:
    if not 1 <= value <= most:
        raise InvalidRequest(field, f"is {value}; 1 to {most} are allowed")
    return value
