"""The vocabulary of a bundle: which row of the model's tables means which outside word. Read and written here alone."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Self

from services.domain.errors import BundleBroken
from services.domain.event_types import EventTypes
from services.domain.ids import ItemId


def input_event_types(event_types: EventTypes) -> tuple[str, ...]:
    """The declared types whose events enter the model's input: all but impressions, which the user did not choose."""
    return tuple(kind.name for kind in event_types.declared if kind.enters_history)


@dataclass(frozen=True)
class Vocabulary:
    """Items and event types in row order; rows start at 1, and row 0 means unknown.

    A type that is not listed here, such as an impression, does not enter the model's input at all.
    """

    item_ids: tuple[ItemId, ...]
    event_types: tuple[str, ...]

    @cached_property
    def item_rows(self) -> Mapping[ItemId, int]:
        return {item_id: row for row, item_id in enumerate(self.item_ids, start=1)}

    @cached_property
    def event_type_rows(self) -> Mapping[str, int]:
        return {name: row for row, name in enumerate(self.event_types, start=1)}

    def to_json(self) -> str:
        return json.dumps({"item_ids": self.item_ids, "event_types": self.event_types}, ensure_ascii=False)

    @classmethod
    def from_json(cls, text: str) -> Self:
        """Raises BundleBroken when the text is no vocabulary, or names something twice."""
        try:
            stored = json.loads(text)
            vocabulary = cls(tuple(stored["item_ids"]), tuple(stored["event_types"]))
        except (ValueError, TypeError, KeyError) as error:
            raise BundleBroken(f"the vocabulary cannot be read: {error!r}") from error
        for words in (vocabulary.item_ids, vocabulary.event_types):
            if not all(isinstance(word, str) for word in words) or len(set(words)) != len(words):
                raise BundleBroken("the vocabulary cannot be read: it must list different strings")
        return vocabulary
