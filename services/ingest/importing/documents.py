"""A row that the quick check does not wave through, written as the record a producer would have sent.

So that the stream's own codec says what is wrong with it, or that nothing is.
"""

import json
import math
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any, Final

import pyarrow as pa

from services.ingest.importing.conforming import Fields
from services.ingest.importing.mapping import ATTRIBUTE_PREFIX, FIELDS

CONTENT_TYPE: Final = "application/json"

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def document(fields: Fields, place: int) -> bytes:
    """proto3 JSON of nightjar.v1.Event; a value that did not convert stands in it as the file has it."""
    members: dict[str, Any] = {}
    for name in FIELDS:
        typed = fields.typed[name][place] if name in fields.typed else None
        if typed is not None and typed.is_valid:
            members[name] = _json_value(name, typed)
        elif name in fields.raw and fields.raw[name][place].is_valid:
            written = _as_written(fields.raw[name][place])
            members[name] = _parsed(written) if name == "attributes" else written
    for name, array in fields.raw.items():
        # One attribute that is not UTF-8 makes the row unfit; the others would hide it.
        if name.startswith(ATTRIBUTE_PREFIX) and fields.unfit[place] and array[place].is_valid:
            key = name.removeprefix(ATTRIBUTE_PREFIX)
            members["attributes"] = {**members.get("attributes", {}), key: _as_written(array[place])}
    return json.dumps(members, ensure_ascii=False).encode("utf-8", "surrogateescape")


def _json_value(name: str, typed: pa.Scalar) -> Any:
    value = typed.as_py()
    if name == "event_time":
        return _rfc3339(value)
    if name == "attributes":
        return _joined(value)
    if isinstance(value, float) and not math.isfinite(value):
        return "NaN" if math.isnan(value) else f"{'-' if value < 0 else ''}Infinity"
    return value


def _parsed(text: str) -> Any:
    """JSON as what it says, so that the codec finds what is wrong within."""
    try:
        return json.loads(text)
    except ValueError:
        return text


def _joined(pairs: list[tuple[str, str]]) -> Mapping[str, str]:
    return dict(pairs)


def _rfc3339(time_us: int) -> str:
    try:
        moment = _EPOCH + timedelta(microseconds=time_us)
    except OverflowError:
        return f"{time_us} microseconds"  # no date has that name, and no codec takes it
    return f"{moment.replace(tzinfo=None).isoformat(timespec='microseconds')}Z"


def _as_written(raw: pa.Scalar) -> Any:
    if pa.types.is_binary(raw.type):
        return raw.as_py().decode("utf-8", "surrogateescape")
    if pa.types.is_string(raw.type) or pa.types.is_large_string(raw.type):
        return (
            raw.cast(pa.binary() if pa.types.is_string(raw.type) else pa.large_binary())
            .as_py()
            .decode("utf-8", "surrogateescape")
        )
    try:
        value = raw.as_py()
    except (OverflowError, ValueError):  # a time that Python has no date for
        return f"{raw.value} as {raw.type}"
    return value if isinstance(value, bool | int) else str(value)
