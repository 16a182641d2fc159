"""What a well-formed request is; each problem names its field in the contract's words.

Reasons for the audit log are checked by the registry, which is also used without gRPC.
"""

from typing import Final

from services.domain.errors import InvalidRequest
from services.domain.ids import ItemId, ModelVersion, UserId, id_problem

DEFAULT_K: Final = 10
MAX_K: Final = 500
DEFAULT_PAGE_SIZE: Final = 50
MAX_PAGE_SIZE: Final = 1_000


def user_id(value: str) -> UserId:
    return UserId(_well_formed("user_id", value))


def item_id(value: str) -> ItemId:
    return ItemId(_well_formed("item_id", value))


def version(value: str, field: str = "version") -> ModelVersion:
    return ModelVersion(_well_formed(field, value))


def actor(value: str) -> str:
    return _well_formed("actor", value)


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
