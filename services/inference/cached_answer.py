"""How a list is kept in the result cache: item rows and scores of one model version, 8 bytes an item.

Body, little-endian: n item rows (uint32), then n scores (float32); see `sealed` for what is around it.
"""

from typing import Final

import numpy as np

from services.domain.ids import ModelVersion
from services.inference.excluded import Rows, Vector
from services.inference.sealed import opened, seal

FORMAT: Final = 2
_ITEM_BYTES: Final = 8


def encode_answer(model_version: ModelVersion, history_version: str, rows: Rows, scores: Vector) -> bytes:
    """The value to cache for a list; rows and scores have one length."""
    body = rows.astype("<u4").tobytes() + scores.astype("<f4").tobytes()
    return seal(FORMAT, model_version, history_version, body)


def decode_answer(
    model_version: ModelVersion, history_version: str, num_items: int, value: bytes
) -> tuple[Rows, Vector] | None:
    """Rows and scores, or None when the value is broken, of another format, another model, or another history.

    num_items: how many items the model has; a row outside 1..num_items is none of its items.
    """
    body = opened(FORMAT, model_version, history_version, value)
    if body is None or len(body) % _ITEM_BYTES:
        return None
    num = len(body) // _ITEM_BYTES
    rows = np.frombuffer(body, "<u4", num).astype(np.int64)
    if not ((rows >= 1) & (rows <= num_items)).all():
        return None
    return rows, np.frombuffer(body, "<f4", num, offset=4 * num).astype(np.float32)
