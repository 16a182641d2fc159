"""What is known of an item besides who chose it: features as words, numbered, and what its text means as a vector.

An item nobody chose has these alone.
"""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Final, Self

import numpy as np
import numpy.typing as npt

from services.domain.ids import ItemId
from services.features.history import Rows

MIN_ITEMS: Final = 2  # larger: rare features say nothing; smaller: a feature of one item is that item over again


@dataclass(frozen=True)
class TextVectors:
    """Makes vectors of the items' texts."""

    of: Callable[[Sequence[ItemId]], npt.NDArray[np.float32]]
    """(len(item_ids), text_dim); 0 for an item without any text."""
    encoder: str
    """By what, so that vectors of another one are not taken for the same."""


@dataclass(frozen=True)
class ItemContent:
    """The features of each item, item after item in row order."""

    names: tuple[str, ...]
    """The features by row, from 1; sorted."""
    features: Rows
    """(num_uses,) feature rows."""
    starts: Rows
    """(num_items + 1,) where each item's features start; item row r's are at starts[r - 1] to starts[r]."""
    texts: npt.NDArray[np.float32]
    """(num_items, text_dim) what each item's text means; a text_dim of 0 where no texts were read."""
    text_encoder: str = ""
    """See TextVectors."""

    @property
    def num_features(self) -> int:
        return len(self.names)

    @property
    def text_dim(self) -> int:
        return int(self.texts.shape[1])

    @classmethod
    def nothing(cls, num_items: int) -> Self:
        return cls((), np.empty(0, np.int64), np.zeros(num_items + 1, np.int64), np.empty((num_items, 0), np.float32))

    @classmethod
    def of(cls, item_ids: Sequence[ItemId], features_of: Mapping[ItemId, Iterable[str]]) -> Self:
        """The features that at least MIN_ITEMS of these items have; an item may have none."""
        used = [tuple(dict.fromkeys(features_of.get(item_id, ()))) for item_id in item_ids]
        counts = Counter(name for names in used for name in names)
        names = tuple(sorted(name for name, count in counts.items() if count >= MIN_ITEMS))
        row_of = {name: row for row, name in enumerate(names, start=1)}
        rows = [[row_of[name] for name in of_item if name in row_of] for of_item in used]
        features = np.array([row for of_item in rows for row in of_item], np.int64)
        starts = np.concatenate(([0], np.cumsum([len(of_item) for of_item in rows]))).astype(np.int64)
        return cls(names, features, starts, np.empty((len(item_ids), 0), np.float32))

    def with_texts(self, item_ids: Sequence[ItemId], vectors: TextVectors) -> "ItemContent":
        return replace(self, texts=vectors.of(item_ids), text_encoder=vectors.encoder)
