"""The vocabulary of a bundle: which row of the model's tables means which outside word. Read and written here alone.

What an event says may depend on its value: a type with thresholds has a row for each role that they can give, such as
`rating+`, `rating` and `rating-`. The thresholds are part of the vocabulary, so a model is served with those it was
trained with, whatever the settings say by then.
"""

import json
import math
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from typing import Any, Final, Self

import numpy as np
import numpy.typing as npt

from services.domain.errors import BundleBroken
from services.domain.event_types import EventTypes, Role, check_thresholds
from services.domain.ids import ItemId

_SUFFIXES: Final = {Role.POSITIVE: "+", Role.NEUTRAL: "", Role.NEGATIVE: "-"}


@dataclass(frozen=True, slots=True)
class InputType:
    """An event type as one model reads it. Raises ValueError for thresholds that cannot judge anything."""

    name: str
    role: Role
    positive_from: float | None = None
    negative_to: float | None = None

    def __post_init__(self) -> None:
        if self.role is Role.IMPRESSION:
            raise ValueError(f"{self.name!r} is an impression, which no model reads")
        check_thresholds(self.role, self.positive_from, self.negative_to)

    @property
    def has_thresholds(self) -> bool:
        return self.positive_from is not None or self.negative_to is not None

    @property
    def roles(self) -> tuple[Role, ...]:
        """The roles that an event of this type can be judged to have: one row each, in this order."""
        if not self.has_thresholds:
            return (self.role,)
        positive, negative = self.positive_from is not None, self.negative_to is not None
        possible = {self.role, Role.NEUTRAL, *([Role.POSITIVE] * positive), *([Role.NEGATIVE] * negative)}
        return tuple(role for role in _SUFFIXES if role in possible)

    def label(self, role: Role) -> str:
        """What people call the row: the type's name, with the sign that a value gave it."""
        return self.name + _SUFFIXES[role] if self.has_thresholds else self.name


def input_types(event_types: EventTypes) -> tuple[InputType, ...]:
    """The declared types whose events enter the model's input: all but impressions, which the user did not choose."""
    return tuple(
        InputType(kind.name, kind.role, kind.positive_from, kind.negative_to)
        for kind in event_types.declared
        if kind.enters_history
    )


@dataclass(frozen=True, slots=True)
class TypeRows:
    """Which of a type's rows stands for an event: `judged_role` worked out beforehand, since requests wait for it.

    Serving reads single events, training reads columns; a test holds both against EventType.judge.
    """

    unvalued: int
    """The row of an event without a value."""
    above: int
    """From positive_from on."""
    between: int
    below: int
    """Up to negative_to."""
    positive_from: float
    """Infinite where there is no such threshold; then `above` is the row between."""
    negative_to: float

    @classmethod
    def of(cls, kind: InputType, rows: Mapping[Role, int]) -> Self:
        unvalued = rows[kind.role]
        between = rows[Role.NEUTRAL] if kind.has_thresholds else unvalued
        return cls(
            unvalued=unvalued,
            above=between if kind.positive_from is None else rows[Role.POSITIVE],
            between=between,
            below=between if kind.negative_to is None else rows[Role.NEGATIVE],
            positive_from=math.inf if kind.positive_from is None else kind.positive_from,
            negative_to=-math.inf if kind.negative_to is None else kind.negative_to,
        )

    def row(self, value: float | None) -> int:
        if value is None:
            return self.unvalued
        if value >= self.positive_from:
            return self.above
        return self.below if value <= self.negative_to else self.between

    def rows(self, values: npt.NDArray[np.float64]) -> npt.NDArray[np.int64]:
        """The row of each event, int64 (n,). values: (n,), NaN where an event has none."""
        conditions = [np.isnan(values), values >= self.positive_from, values <= self.negative_to]
        return np.select(conditions, [self.unvalued, self.above, self.below], self.between).astype(np.int64)


@dataclass(frozen=True)
class Vocabulary:
    """Items and event types in row order; rows start at 1, and row 0 means unknown.

    A type that is not listed here, such as an impression, does not enter the model's input at all.
    """

    item_ids: tuple[ItemId, ...]
    event_types: tuple[InputType, ...]

    @cached_property
    def item_rows(self) -> Mapping[ItemId, int]:
        return {item_id: row for row, item_id in enumerate(self.item_ids, start=1)}

    @property
    def judged_types(self) -> tuple[tuple[InputType, Role], ...]:
        """What each event-type row means: a type, and the role that its events of this row were judged to have."""
        return tuple((kind, role) for kind in self.event_types for role in kind.roles)

    @property
    def event_type_labels(self) -> tuple[str, ...]:
        """The event-type rows' names in row order; row 0 has none."""
        return tuple(kind.label(role) for kind, role in self.judged_types)

    @cached_property
    def event_type_rows(self) -> Mapping[str, TypeRows]:
        """By the type's name."""
        rows: dict[str, dict[Role, int]] = {}
        for row, (kind, role) in enumerate(self.judged_types, start=1):
            rows.setdefault(kind.name, {})[role] = row
        return {kind.name: TypeRows.of(kind, rows[kind.name]) for kind in self.event_types}

    def to_json(self) -> str:
        stored = {
            "item_ids": self.item_ids,
            "event_types": [asdict(kind) for kind in self.event_types],
            "event_type_labels": self.event_type_labels,
        }
        return json.dumps(stored, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises BundleBroken when the text is no vocabulary, names something twice, or numbers its rows otherwise."""
        try:
            stored = json.loads(text)
            vocabulary = cls(tuple(stored["item_ids"]), tuple(map(_input_type, stored["event_types"])))
            stored_labels = tuple(stored["event_type_labels"])
        except (ValueError, TypeError, KeyError) as error:
            raise BundleBroken(f"the vocabulary cannot be read: {error!r}") from error
        for words in (
            vocabulary.item_ids,
            [kind.name for kind in vocabulary.event_types],
            vocabulary.event_type_labels,
        ):
            if not all(isinstance(word, str) for word in words) or len(set(words)) != len(words):
                raise BundleBroken("the vocabulary cannot be read: it must list different strings")
        if stored_labels != vocabulary.event_type_labels:
            raise BundleBroken(
                f"the vocabulary cannot be read: its event-type rows are {', '.join(map(str, stored_labels))}, "
                f"not {', '.join(vocabulary.event_type_labels)}; it was written by another version, so train again"
            )
        return vocabulary


def _input_type(stored: Mapping[str, Any]) -> InputType:
    for name in ("positive_from", "negative_to"):
        if not isinstance(stored[name], float | int | None) or isinstance(stored[name], bool):
            raise TypeError(f"{name} is {stored[name]!r}, not a number")
    return InputType(**{**stored, "role": Role(stored["role"])})
