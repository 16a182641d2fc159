"""How a list is kept in the result cache: item rows and scores of one model version, 8 bytes an item.

Layout, little-endian: format (1 byte), CRC-32 of the model version and all that follows (4 bytes), length of the
history version in bytes (2 bytes), the history version, then n item rows (uint32), then n scores (float32). Rows are
enough because the model version is part of the key and of the checksum. The history version is no part of the key, so
that one trip reads both: a value of another history is none.
"""

import struct
import zlib
from typing import Final

import numpy as np

from services.domain.ids import ModelVersion
from services.inference.excluded import Rows, Vector

FORMAT: Final = 2
_HEADER: Final = struct.Struct("<BI")
_LENGTH: Final = struct.Struct("<H")
_ITEM_BYTES: Final = 8


def encode_answer(model_version: ModelVersion, history_version: str, rows: Rows, scores: Vector) -> bytes:
    """The value to cache for a list; rows and scores have one length."""
    history = history_version.encode()
    body = _LENGTH.pack(len(history)) + history + rows.astype("<u4").tobytes() + scores.astype("<f4").tobytes()
    return _HEADER.pack(FORMAT, _checksum(model_version, body)) + body


def decode_answer(
    model_version: ModelVersion, history_version: str, num_items: int, value: bytes
) -> tuple[Rows, Vector] | None:
    """Rows and scores, or None when the value is broken, of another format, another model, or another history.

    num_items: how many items the model has; a row outside 1..num_items is none of its items.
    """
    body = value[_HEADER.size :]
    if len(value) < _HEADER.size or _HEADER.unpack_from(value) != (FORMAT, _checksum(model_version, body)):
        return None
    history = history_version.encode()
    prefix = _LENGTH.pack(len(history)) + history
    num, rest = divmod(len(body) - len(prefix), _ITEM_BYTES)
    if not body.startswith(prefix) or rest or num < 0:
        return None
    rows = np.frombuffer(body, "<u4", num, len(prefix)).astype(np.int64)
    if not ((rows >= 1) & (rows <= num_items)).all():
        return None
    return rows, np.frombuffer(body, "<f4", num, len(prefix) + 4 * num).astype(np.float32)


def _checksum(model_version: ModelVersion, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(model_version.encode()))
