"""A chunk of a file as typed fields of events: text, numbers, times. What cannot be converted is null and marked.

Nothing is judged here. A value that does not convert stays as it was written in `Fields.raw`, for the codec to refuse.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final, TypeAlias

import msgspec
import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.types as pt

from services.domain.errors import InvalidRequest
from services.ingest.importing.mapping import ATTRIBUTE_PREFIX, FIELDS, TEXT_FIELDS, Columns, TimeUnit
from services.ingest.importing.sources import Chunk

ATTRIBUTES: Final = pa.map_(pa.string(), pa.string())

_strings: Final = msgspec.json.Decoder(dict[str, str])

_Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class Fields:
    """The fields of some rows, under their names in the contract. All arrays have the chunk's length."""

    num_rows: int
    typed: Mapping[str, pa.Array]
    """Strings; event_time int64 microseconds; value float64; position int64; attributes ATTRIBUTES."""
    raw: Mapping[str, pa.Array]
    """The same fields as the file has them, constants too; `attributes.NAME` under that name."""
    unfit: _Mask
    """Rows of which a value did not convert."""


def conform(chunk: Chunk, columns: Columns) -> Fields:
    raw = {name: chunk.columns[column] for name, column in columns.sources.items()}
    raw |= {name: _repeated(value, chunk.num_rows) for name, value in columns.constants.items()}
    unfit = np.zeros(chunk.num_rows, dtype=np.bool_)
    typed: dict[str, pa.Array] = {}
    for name in FIELDS:
        if name in raw:
            typed[name] = _converted(raw[name], _conversion(name, columns.time_unit), unfit)
    attributes = {name.removeprefix(ATTRIBUTE_PREFIX): name for name in raw if name.startswith(ATTRIBUTE_PREFIX)}
    if attributes:
        texts = {key: _converted(raw[name], _text, unfit) for key, name in attributes.items()}
        typed["attributes"] = _zipped(texts, chunk.num_rows)
    return Fields(chunk.num_rows, typed, raw, unfit)


def check_types(schema: pa.Schema, columns: Columns) -> None:
    """Raises InvalidRequest for a column whose type can never be its field, such as an id of floating-point numbers."""
    for name, column in columns.sources.items():
        kind = schema.field(column).type
        kind = kind.value_type if pt.is_dictionary(kind) else kind
        problem = _type_problem(name, kind, columns.time_unit)
        if problem:
            raise InvalidRequest("--map", f"{name}={column}: the column holds {kind}, {problem}")


def _type_problem(name: str, kind: pa.DataType, unit: TimeUnit | None) -> str | None:
    text, number = _is_text(kind), pt.is_integer(kind) or pt.is_floating(kind)
    if pt.is_null(kind):
        return None
    if name == "event_time":
        if number and unit in (None, TimeUnit.ISO):
            return "so --time-unit s, ms or us must say what its numbers count"
        return None if text or number or pt.is_timestamp(kind) or pt.is_date(kind) else "which is no time"
    if name in ("value", "position"):
        return None if text or number or pt.is_boolean(kind) or pt.is_decimal(kind) else "which is no number"
    if name == "attributes":
        return None if text or pt.is_map(kind) else "it must be a map, or text with a JSON object"
    return None if text or pt.is_integer(kind) else "it must be text or whole numbers"


def _is_text(kind: pa.DataType) -> bool:
    return any(test(kind) for test in (pt.is_string, pt.is_large_string, pt.is_string_view, pt.is_binary))


_Conversion: TypeAlias = Callable[[pa.Array], pa.Array]
"""Converts a whole array; raises ArrowInvalid when one value does not convert."""


def _converted(array: pa.Array, conversion: _Conversion, unfit: _Mask) -> pa.Array:
    """The array converted; a value that does not convert becomes null, and its row is marked."""
    if pt.is_dictionary(array.type):
        array = array.cast(array.type.value_type)
    nothing = conversion(array.slice(0, 0))
    parts = [pa.nulls(1, nothing.type) if part is None else part for part in _parts(array, conversion, unfit)]
    return parts[0] if len(parts) == 1 else pa.concat_arrays([nothing, *parts])


def _parts(array: pa.Array, conversion: _Conversion, unfit: _Mask) -> list[pa.Array | None]:
    """Converts all at once, else by halves, so that a bad value among many costs little; None is one that resists."""
    try:
        return [conversion(array)]
    except (pa.ArrowException, ValueError):
        if len(array) == 1:
            unfit[0] = True
            return [None]
    half = len(array) // 2
    left = _parts(array.slice(0, half), conversion, unfit[:half])
    return left + _parts(array.slice(half), conversion, unfit[half:])


def _conversion(name: str, unit: TimeUnit | None) -> _Conversion:
    if name in TEXT_FIELDS:
        return _text
    if name == "event_time":
        return lambda array: _time_us(array, unit)
    return {"value": _number, "position": _whole, "attributes": _attributes}[name]


def _text(array: pa.Array) -> pa.Array:
    text = array.cast(pa.string())
    text.validate(full=True)  # Parquet's writers promise UTF-8, and some break the promise
    return text


def _number(array: pa.Array) -> pa.Array:
    return array.cast(pa.float64())


def _whole(array: pa.Array) -> pa.Array:
    return array.cast(pa.int64())


def _time_us(array: pa.Array, unit: TimeUnit | None) -> pa.Array:
    """Microseconds since 1970. A timestamp or text without a zone is UTC."""
    if pt.is_timestamp(array.type) or pt.is_date(array.type):
        kind = pa.timestamp("us", array.type.tz if pt.is_timestamp(array.type) else None)
        # Finer than microseconds is cut off; a time too far away to be counted in them is an error.
        return array.cast(options=pc.CastOptions(kind, allow_time_truncate=True)).cast(pa.int64())
    if unit in (None, TimeUnit.ISO):
        if pt.is_null(array.type):
            return array.cast(pa.int64())
        return _iso_us(_text(array))
    if pt.is_integer(array.type):
        return pc.multiply_checked(array.cast(pa.int64()), unit.microseconds)
    numbers = pc.round(pc.multiply(_number(array), float(unit.microseconds)))
    return numbers.cast(pa.int64())


def _iso_us(text: pa.Array) -> pa.Array:
    for kind in (pa.timestamp("us", "UTC"), pa.timestamp("us")):  # all with a zone, or all without
        try:
            return text.cast(kind).cast(pa.int64())
        except pa.ArrowInvalid:
            continue
    return pa.array([None if each is None else _moment_us(each) for each in text.to_pylist()], pa.int64())


def _moment_us(text: str) -> int:
    moment = datetime.fromisoformat(text.strip())
    since = (moment if moment.tzinfo else moment.replace(tzinfo=UTC)) - datetime(1970, 1, 1, tzinfo=UTC)
    return (since.days * 86_400 + since.seconds) * 1_000_000 + since.microseconds


def _attributes(array: pa.Array) -> pa.Array:
    if pt.is_map(array.type):
        mapped = array.cast(ATTRIBUTES)
        for part in (mapped.keys, mapped.items):
            part.validate(full=True)
        if mapped.keys.null_count or mapped.items.null_count:
            raise pa.ArrowInvalid("an attribute is null")
        return mapped
    return pa.array([None if each is None else _object(each) for each in _text(array).to_pylist()], ATTRIBUTES)


def _object(text: str) -> list[tuple[str, str]]:
    try:
        return list(_strings.decode(text).items())
    except msgspec.DecodeError as error:
        raise ValueError(str(error)) from error


def _zipped(texts: Mapping[str, pa.Array], num_rows: int) -> pa.Array:
    """One map a row of the columns that have a value there; the keys are the columns' names."""
    names = sorted(texts)
    present = np.column_stack([texts[name].is_valid().to_numpy(zero_copy_only=False) for name in names])
    offsets = np.concatenate(([0], np.cumsum(present.sum(axis=1)))).astype(np.int32)
    rows, columns = np.nonzero(present)
    values = pa.concat_arrays([texts[name] for name in names]).take(pa.array(columns * num_rows + rows))
    return pa.MapArray.from_arrays(offsets, pa.array(names).take(pa.array(columns)), values)


def _repeated(value: str, num_rows: int) -> pa.Array:
    return pa.repeat(pa.scalar(value, pa.string()), num_rows)
