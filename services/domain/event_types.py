"""The operator's words for what users do, and what each says about their taste."""

from collections.abc import Iterable
from dataclasses import dataclass
from enum import StrEnum


class Role(StrEnum):
    """What an event type says about the user's taste."""

    IMPRESSION = "impression"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class EventType:
    """One of the operator's words for what a user can do with an item."""

    name: str
    role: Role
    weight: float = 1.0
    """How much one such event says; 1.0 is a plain view."""
    consumes: bool = False
    """True when the item is done with and is not recommended again."""

    @property
    def enters_history(self) -> bool:
        """True when such an event becomes part of the user's history: it tells something the user did."""
        return self.role is not Role.IMPRESSION


class EventTypes:
    """The declared event types; the order gives each its row in the model's event-type embedding (row 0: unknown)."""

    def __init__(self, declared: Iterable[EventType]) -> None:
        self.declared = tuple(declared)
        self._by_name = {kind.name: kind for kind in self.declared}
        self._rows = {kind.name: row for row, kind in enumerate(self.declared, start=1)}

    def get(self, name: str) -> EventType | None:
        return self._by_name.get(name)

    def row(self, name: str) -> int:
        """The row of a type in the embedding: 1 for the first declared, 0 for one that is not declared."""
        return self._rows.get(name, 0)

    def names(self) -> tuple[str, ...]:
        return tuple(self._by_name)


DEFAULT_EVENT_TYPES = EventTypes(
    [
        EventType("impression", Role.IMPRESSION, 0.0),
        EventType("view", Role.POSITIVE, 1.0),
        EventType("click", Role.POSITIVE, 1.0),
        EventType("play", Role.POSITIVE, 2.0, consumes=True),
        EventType("cart", Role.POSITIVE, 3.0),
        EventType("purchase", Role.POSITIVE, 5.0, consumes=True),
        EventType("like", Role.POSITIVE, 3.0),
        EventType("rating", Role.POSITIVE, 1.0, consumes=True),
        EventType("dislike", Role.NEGATIVE, -1.0, consumes=True),
    ]
)
