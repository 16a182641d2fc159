"""Events of the log into a file, in the contract's field names, so that an import reads it without a mapping.

Streams: what is held is what the reader gives at a time. The file appears under its name only when it is whole.
"""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

LOG_NAMES: Final = {"type": "event_type"}
"""Columns that the log calls otherwise than the contract."""

_Write: TypeAlias = Callable[[pa.RecordBatch], None]


def export(reader: pa.RecordBatchReader, path: Path, format_name: str, on_rows: Callable[[int], None]) -> int:
    """Writes what the reader gives and returns the number of events; `on_rows` hears how many came since it last did.

    A file of that name is replaced. Raises OSError.
    """
    partial = path.with_name(f".{path.name}.partial")
    num_events = 0
    try:
        with partial.open("wb") as file:
            write, close = _WRITERS[format_name](file, _renamed(reader.schema))
            for batch in reader:
                write(batch.rename_columns(_renamed(reader.schema).names))
                num_events += len(batch)
                on_rows(len(batch))
            close()
            file.flush()
            os.fsync(file.fileno())
        partial.replace(path)
    finally:
        partial.unlink(missing_ok=True)
    return num_events


def _renamed(schema: pa.Schema) -> pa.Schema:
    contract_names = {theirs: ours for ours, theirs in LOG_NAMES.items()}
    return pa.schema([field.with_name(contract_names.get(field.name, field.name)) for field in schema])


def _parquet(file: BinaryIO, schema: pa.Schema) -> tuple[_Write, Callable[[], None]]:
    writer = pq.ParquetWriter(file, schema, compression="zstd")
    return writer.write_batch, writer.close


def _csv(file: BinaryIO, schema: pa.Schema) -> tuple[_Write, Callable[[], None]]:
    texts = [pa.field(each.name, pa.string()) if _as_text(each) else each for each in schema]
    writer = pa_csv.CSVWriter(file, pa.schema(texts))
    return lambda batch: writer.write_batch(_flat(batch, pa.schema(texts))), writer.close


def _json_lines(file: BinaryIO, schema: pa.Schema) -> tuple[_Write, Callable[[], None]]:
    encode = msgspec.json.Encoder().encode_lines

    def write(batch: pa.RecordBatch) -> None:
        columns = [_plain(batch.column(place)) for place in range(batch.num_columns)]
        rows = zip(*columns, strict=True)
        file.write(
            encode(
                [{name: value for name, value in zip(schema.names, row, strict=True) if _says(value)} for row in rows]
            )
        )

    return write, lambda: None


_WRITERS: Final = {"parquet": _parquet, "csv": _csv, "jsonl": _json_lines}


def _as_text(field: pa.Field) -> bool:
    return bool(pa.types.is_map(field.type) or pa.types.is_timestamp(field.type))


def _flat(batch: pa.RecordBatch, schema: pa.Schema) -> pa.RecordBatch:
    """Times as ISO 8601 and attributes as JSON: what CSV has no types for."""
    columns = []
    for array, field in zip(batch.columns, batch.schema, strict=True):
        if pa.types.is_map(field.type):
            encoded = [msgspec.json.encode(dict(pairs)).decode() if pairs else None for pairs in array.to_pylist()]
            columns.append(pa.array(encoded, pa.string()))
        else:
            columns.append(_iso(array) if pa.types.is_timestamp(field.type) else array)
    return pa.RecordBatch.from_arrays(columns, schema=schema)


def _plain(array: pa.Array) -> Sequence[Any]:
    if pa.types.is_map(array.type):
        return [dict(pairs or ()) for pairs in array.to_pylist()]
    values: Sequence[Any] = (_iso(array) if pa.types.is_timestamp(array.type) else array).to_pylist()
    return values


def _iso(times: pa.Array) -> pa.Array:
    return pc.strftime(times, "%Y-%m-%dT%H:%M:%SZ")  # seconds have their fraction in this format


def _says(value: object) -> bool:
    """Null, empty text and no attributes are left out, as the contract has it."""
    return value is not None and value != "" and value != {}
