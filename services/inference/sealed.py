"""What lies in the result cache: a body that is of one model version and one history, or counts for nothing.

Layout, little-endian: format (1 byte), CRC-32 of the model version and all that follows (4 bytes), length of the
history version in bytes (2 bytes), the history version, the body. The model version is part of the key, so its sum is
enough. The history version is no part of the key, so that one trip reads both; here it stands whole, for a sum of 32
bits would let one of four billion stale answers through.
"""

import struct
import zlib
from typing import Final

from services.domain.ids import ModelVersion

_HEADER: Final = struct.Struct("<BI")
_LENGTH: Final = struct.Struct("<H")


def seal(form: int, model_version: ModelVersion, history_version: str, body: bytes) -> bytes:
    """The value to cache. form: the number of the body's format."""
    rest = _prefix(history_version) + body
    return _HEADER.pack(form, _checksum(model_version, rest)) + rest


def opened(form: int, model_version: ModelVersion, history_version: str, value: bytes) -> bytes | None:
    """The body; None when the value is broken, of another format, another model, or another history."""
    rest, prefix = value[_HEADER.size :], _prefix(history_version)
    if len(value) < _HEADER.size or _HEADER.unpack_from(value) != (form, _checksum(model_version, rest)):
        return None
    return rest[len(prefix) :] if rest.startswith(prefix) else None


def _prefix(history_version: str) -> bytes:
    history = history_version.encode()
    return _LENGTH.pack(len(history)) + history


def _checksum(model_version: ModelVersion, rest: bytes) -> int:
    return zlib.crc32(rest, zlib.crc32(model_version.encode()))
