"""How a list is kept in the result cache: item rows and scores of one model version, 8 bytes an item.

Layout, little-endian: format (1 byte), CRC-32 of the model version and the body (4 bytes), body: n item rows (uint32),
then n scores (float32). Rows are enough because the version is part of the key and of the checksum.
"""

import struct
import zlib
from typing import Final

import numpy as np

from services.domain.ids import ModelVersion
from services.inference.excluded import Rows, Vector

FORMAT: Final = 1
_HEADER: Final = struct.Struct("<BI")
_ITEM_BYTES: Final = 8


def encode_answer(model_version: ModelVersion, rows: Rows, scores: Vector) -> bytes:
    """The value to cache for a list; rows and scores have one length."""
    body = rows.astype("<u4").tobytes() + scores.astype("<f4").tobytes()
    return _HEADER.pack(FORMAT, _checksum(model_version, body)) + body


def decode_answer(model_version: ModelVersion, num_items: int, value: bytes) -> tuple[Rows, Vector] | None:
    """Rows and scores, or None when the value is broken, of another format, or of another model.

    num_items: how many items the model has; a row outside 1..num_items is none of its items.
    """
    body = value[_HEADER.size :]
    if len(value) < _HEADER.size or len(body) % _ITEM_BYTES:
        return None
    if _HEADER.unpack_from(value) != (FORMAT, _checksum(model_version, body)):
        return None
    middle = len(body) // 2
    rows = np.frombuffer(body[:middle], dtype="<u4").astype(np.int64)
    if not ((rows >= 1) & (rows <= num_items)).all():
        return None
    return rows, np.frombuffer(body[middle:], dtype="<f4").astype(np.float32)


def _checksum(model_version: ModelVersion, body: bytes) -> int:
    return zlib.crc32(body, zlib.crc32(model_version.encode()))
