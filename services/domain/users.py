"""Users as their own topic tells of them: attributes, and the wish to be forgotten."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.domain.ids import UserId


@dataclass(frozen=True, slots=True)
class User:
    """The present state of one user."""

    user_id: UserId
    attributes: Mapping[str, str] = field(default_factory=dict)
    update_time_us: int = 0


@dataclass(frozen=True, slots=True)
class Erasure:
    """The wish of a user to be forgotten, with everything they did until then."""

    user_id: UserId
    request_time_us: int
