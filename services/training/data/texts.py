"""Vectors of what the catalog says of items in sentences."""

from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from services.domain.ids import ItemId
from services.domain.ports import TextEncoder
from services.training.data.content import TextVectors


def vectors_of(texts: Mapping[ItemId, str], encoder: TextEncoder | None) -> TextVectors | None:
    """Makes vectors of the texts of items, each different text once; None without an encoder."""
    if encoder is None:
        return None

    def of(item_ids: Sequence[ItemId]) -> npt.NDArray[np.float32]:
        places = [place for place, item_id in enumerate(item_ids) if item_id in texts]
        if not places:
            return np.empty((len(item_ids), 0), np.float32)
        of_places = [texts[item_ids[place]] for place in places]
        row_of = {text: row for row, text in enumerate(dict.fromkeys(of_places))}
        encoded = encoder.encode(list(row_of))  # (num_distinct, text_dim)
        vectors = np.zeros((len(item_ids), encoded.shape[1]), np.float32)
        vectors[places] = encoded[[row_of[text] for text in of_places]]
        return vectors

    return TextVectors(of, encoder.name)
