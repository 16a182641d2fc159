"""Trials of a version beside the live one: a canary answers a share of the users, a shadow answers nobody.

Which users take part is a matter of their name and the trial alone, so every worker of every replica says the same.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass, field
from datetime import datetime
from enum import StrEnum
from hashlib import blake2b
from typing import Any, Final, Self

from services.domain.ids import ModelVersion, UserId
from services.domain.vitals import Vitals

_SCALE: Final = 1 << 64
NUM_COMPARED: Final = 10
"""How many items of the head of two lists are compared."""


class TrialKind(StrEnum):
    CANARY = "canary"
    SHADOW = "shadow"


@dataclass(frozen=True, slots=True)
class ModelTrial:
    """One change of a trial: it begins, its share changes, or, with share 0, it ends. The newest of a kind counts."""

    number: int
    """Counts up by one over both kinds; never repeats."""
    kind: TrialKind
    version: ModelVersion
    share: float
    """Of the users, 0 to 1; 0: it is over."""
    first: int
    """The number of the change that this trial began with."""
    actor: str
    reason: str
    change_time: datetime
    override: bool = False
    """True when an operator began it although the gate had not passed the version."""

    @property
    def is_over(self) -> bool:
        return self.share == 0

    def includes(self, user_id: UserId) -> bool:
        """Whether a user takes part. A larger share of the same trial keeps those it had; a new trial draws others."""
        return position(self.first, user_id) < self.share * _SCALE


def going_on(changes: Iterable[ModelTrial]) -> list[ModelTrial]:
    """Of all changes, in any order, those that count and are not over; a canary before a shadow."""
    newest = {each.kind: each for each in sorted(changes, key=lambda each: each.number)}
    return [newest[kind] for kind in TrialKind if kind in newest and not newest[kind].is_over]


def position(first: int, user_id: UserId) -> int:
    """Where a user stands in a trial, 0 to 2**64 - 1, evenly spread: a hash that no process or release changes."""
    text = f"{first}:{user_id}".encode("utf-8", "surrogatepass")
    return int.from_bytes(blake2b(text, digest_size=8).digest(), "big")


@dataclass(frozen=True, slots=True)
class Likeness:
    """How like the returned lists those of a shadow were, as sums."""

    num_compared: int = 0
    overlap_sum: float = 0.0
    """Of each comparison, the share of the first 10 items returned that the shadow has among its first 10."""
    num_dropped: int = 0
    """Requests that the shadow was not asked, since it was busy."""

    def __add__(self, other: "Likeness") -> "Likeness":
        return Likeness(
            self.num_compared + other.num_compared,
            self.overlap_sum + other.overlap_sum,
            self.num_dropped + other.num_dropped,
        )

    @property
    def overlap_at_10(self) -> float | None:
        """The mean, 0 to 1; None before the first comparison."""
        return self.overlap_sum / self.num_compared if self.num_compared else None


@dataclass(frozen=True, slots=True)
class TrialFigures:
    """What came of a trial so far."""

    of_trial: Vitals = field(default_factory=Vitals)
    of_live: Vitals = field(default_factory=Vitals)
    """For a canary: of the users who took no part meanwhile."""
    likeness: Likeness = field(default_factory=Likeness)
    """For a shadow."""

    def __add__(self, other: "TrialFigures") -> "TrialFigures":
        return TrialFigures(
            self.of_trial + other.of_trial, self.of_live + other.of_live, self.likeness + other.likeness
        )

    def to_json(self) -> dict[str, Any]:
        return {
            "of_trial": self.of_trial.to_json(),
            "of_live": self.of_live.to_json(),
            "likeness": asdict(self.likeness),
        }

    @classmethod
    def from_json(cls, stored: Mapping[str, Any]) -> Self:
        trial, live = Vitals.from_json(stored["of_trial"]), Vitals.from_json(stored["of_live"])
        return cls(trial, live, Likeness(**stored["likeness"]))


@dataclass(frozen=True, slots=True)
class TrialReport:
    """What one worker says of one trial, as sums since that worker began with it."""

    first: int
    """Which trial: the number it began with."""
    worker_id: str
    report_time: datetime
    is_held: bool
    """Whether the worker has the model; until then the live one answers all."""
    problem: str = ""
    """Why it has not."""
    figures: TrialFigures = field(default_factory=TrialFigures)


def overlap(returned: tuple[str, ...], others: tuple[str, ...]) -> float | None:
    """The share of the first 10 of a list that is among the first 10 of another; None for an empty list."""
    head = returned[:NUM_COMPARED]
    return len(set(head) & set(others[:NUM_COMPARED])) / len(head) if head else None
