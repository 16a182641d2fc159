"""Reads a bundle's tables while requests go on.

The library's own reader copies them under the interpreter's lock: half a second of a gigabyte in which the worker
answers nobody. Here the system copies, without it.
"""

import json
import math
from pathlib import Path
from typing import Any, Final

import numpy as np
from safetensors import SafetensorError, safe_open

from services.domain.errors import BundleBroken
from services.domain.scoring import Tables

_TYPES: Final = {"F64": "<f8", "F32": "<f4", "F16": "<f2", "I64": "<i8", "I32": "<i4", "I16": "<i2", "I8": "i1"} | {
    "U64": "<u8", "U32": "<u4", "U16": "<u2", "U8": "u1", "BOOL": "?"
}  # fmt: skip
_LENGTH_BYTES: Final = 8  # of the header, little-endian, before it; then come the tables, one after another


def read_tables(path: Path) -> Tables:
    """Every table of a safetensors file by name; blocks. Raises BundleBroken, also for a type that no table has."""
    try:
        with safe_open(path, framework="np"):  # what the header says is within the file, and nothing overlaps
            pass
        with path.open("rb", buffering=0) as file:
            length = int.from_bytes(file.read(_LENGTH_BYTES), "little")
            header: dict[str, Any] = json.loads(file.read(length))
            header.pop("__metadata__", None)
            start = _LENGTH_BYTES + length
            return {name: _read(file, start, entry) for name, entry in header.items()}
    except (SafetensorError, OSError, ValueError, KeyError) as error:
        raise BundleBroken(f"{path.name} cannot be read: {error}") from error


def _read(file: Any, start: int, entry: dict[str, Any]) -> np.ndarray[Any, Any]:
    begin, end = entry["data_offsets"]
    table = np.empty(math.prod(entry["shape"]), _TYPES[entry["dtype"]])
    if table.nbytes != end - begin:
        raise ValueError(f"a table of shape {entry['shape']} does not fill {end - begin} bytes")
    file.seek(start + begin)
    rest = table.data.cast("B") if len(table) else memoryview(b"")
    while rest:
        num_read = file.readinto(rest)  # at most 2 GiB at once
        if not num_read:
            raise ValueError("the file ends within a table")
        rest = rest[num_read:]
    return table.reshape(entry["shape"])
