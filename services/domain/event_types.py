"""The operator's words for what users do, and what each event says about their taste."""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

DEFAULT_HALF_LIFE_S: Final = 30 * 86_400.0  # larger: last month's fashion stays; smaller: one busy day decides


class Role(StrEnum):
    """What an event type, or one event of it, says about the user's taste."""

    IMPRESSION = "impression"
    POSITIVE = "positive"
    NEGATIVE = "negative"
    NEUTRAL = "neutral"


@dataclass(frozen=True, slots=True)
class Judgement:
    """What one event says: about whose taste, and how much."""

    role: Role
    weight: float
    """Signed: above 0 for a positive event, below 0 for a negative one, 0 for a neutral one and for an impression."""


@dataclass(frozen=True, slots=True)
class EventType:
    """One of the operator's words for what a user can do with an item.

    Raises ValueError for thresholds that cannot judge anything (see `check_thresholds`), and for a weight of 0 where
    events can be positive or negative.
    """

    name: str
    role: Role
    """What an event says that carries no value, or whose type has no thresholds."""
    weight: float = 1.0
    """How much one such event says; 1.0 is a plain view. Its size alone counts: the sign is that of the judgement."""
    consumes: bool = False
    """True when the item is done with and is not recommended again."""
    half_life_s: float = DEFAULT_HALF_LIFE_S
    """Seconds after which one such event counts half in what is popular and trending online."""
    positive_from: float | None = None
    """An event with this value or a larger one is positive; None: no value makes it so."""
    negative_to: float | None = None
    """An event with this value or a smaller one is negative; None: no value makes it so."""

    def __post_init__(self) -> None:
        check_thresholds(self.role, self.positive_from, self.negative_to)
        if not math.isfinite(self.weight) or (self.weight == 0 and self.takes_sides):
            raise ValueError(f"weight is {self.weight}; a type that can be positive or negative needs one that counts")

    @property
    def takes_sides(self) -> bool:
        """True when an event of this type can be positive or negative."""
        has_thresholds = self.positive_from is not None or self.negative_to is not None
        return has_thresholds or self.role in (Role.POSITIVE, Role.NEGATIVE)

    @property
    def enters_history(self) -> bool:
        """True when such an event becomes part of the user's history: it tells something the user did."""
        return self.role is not Role.IMPRESSION

    def judge(self, value: float | None) -> Judgement:
        """What one event of this type says; value: that of the event, None when it carries none."""
        return self.judged(judged_role(self.role, self.positive_from, self.negative_to, value))

    def judged(self, role: Role) -> Judgement:
        """What an event of this type says that was judged to have this role."""
        return Judgement(role, _SIGNS[role] * abs(self.weight))


_SIGNS: Final = {Role.POSITIVE: 1.0, Role.NEGATIVE: -1.0, Role.NEUTRAL: 0.0, Role.IMPRESSION: 0.0}


def judged_role(declared: Role, positive_from: float | None, negative_to: float | None, value: float | None) -> Role:
    """The role of one event: its value against the thresholds, or the declared role without a value or thresholds.

    A value that reaches neither threshold is neutral, also where only one is declared.
    """
    if value is None or (positive_from is None and negative_to is None):
        return declared
    if positive_from is not None and value >= positive_from:
        return Role.POSITIVE
    if negative_to is not None and value <= negative_to:
        return Role.NEGATIVE
    return Role.NEUTRAL


def check_thresholds(role: Role, positive_from: float | None, negative_to: float | None) -> None:
    """Raises ValueError, saying what is wrong, for thresholds that are not finite, overlap, or are an impression's."""
    thresholds = [threshold for threshold in (negative_to, positive_from) if threshold is not None]
    if not all(math.isfinite(threshold) for threshold in thresholds):
        raise ValueError("positive_from and negative_to must be finite numbers")
    if thresholds and role is Role.IMPRESSION:
        raise ValueError("an impression says nothing, whatever its value: leave out positive_from and negative_to")
    if positive_from is not None and negative_to is not None and negative_to >= positive_from:
        raise ValueError(f"negative_to ({negative_to}) must be smaller than positive_from ({positive_from})")


class EventTypes:
    """The declared event types, in the operator's order."""

    def __init__(self, declared: Iterable[EventType]) -> None:
        self.declared = tuple(declared)
        self.by_name: Mapping[str, EventType] = {kind.name: kind for kind in self.declared}

    def get(self, name: str) -> EventType | None:
        return self.by_name.get(name)

    def names(self) -> tuple[str, ...]:
        return tuple(self.by_name)


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
