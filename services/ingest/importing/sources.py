"""Files as chunks of columns: Parquet, CSV and JSON Lines, opened alike.

A row that cannot be taken apart at all is unreadable here; whether its values make an event is not decided here. Rows
are counted from 0 in the file's order, the same in every reading, so that an import can go on where it ended.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol, TypeVar

import pyarrow as pa

from services.domain.errors import InvalidRequest

# Bytes of text that make a chunk, however few rows that is. Larger: more memory, some five times as much while they are
# worked on; smaller: more commits of files with long rows.
CHUNK_BYTES: Final = 64 * 1024 * 1024

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Chunk:
    """Consecutive rows. Every column has the chunk's length; an unreadable row is null in all of them."""

    first_row: int
    num_rows: int
    columns: Mapping[str, pa.Array]
    """By name in the file. Text columns are string, or binary when a value is not UTF-8."""
    unreadable: Mapping[int, str] = field(default_factory=dict)
    """Place in the chunk, and what is wrong with the row."""


class Source(Protocol):
    """One file. Reading it twice gives the same rows in the same order."""

    @property
    def schema(self) -> pa.Schema:
        """The file's columns; those of a text file are all strings."""
        ...

    @property
    def num_rows(self) -> int | None:
        """None when only reading would tell."""
        ...

    def chunks(self, columns: Sequence[str], first_row: int, max_rows: int) -> Iterator[Chunk]:
        """The rows from `first_row` on, only these columns, at most `max_rows` or about CHUNK_BYTES at a time."""
        ...


def together(rows: Iterator[T], max_rows: int, size_of: Callable[[T], int]) -> list[T]:
    """The next rows that make a chunk; none when there are no more."""
    taken: list[T] = []
    num_bytes = 0
    while len(taken) < max_rows and num_bytes < CHUNK_BYTES and (row := next(rows, None)) is not None:
        taken.append(row)
        num_bytes += size_of(row)
    return taken


FORMATS: Final = ("parquet", "csv", "jsonl")

_SUFFIXES: Final = {".parquet": "parquet", ".pq": "parquet", ".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}


def format_of(path: Path, asked: str | None) -> str:
    """parquet, csv or jsonl: as asked, else by the name; raises InvalidRequest when neither tells."""
    if asked is not None and asked not in FORMATS:
        raise InvalidRequest("--format", f"{asked!r} is none; choose {', '.join(FORMATS)}")
    found = asked or _SUFFIXES.get(path.suffix.lower())
    if found is None:
        raise InvalidRequest("--format", f"is needed: the name {path.name!r} does not end in {', '.join(_SUFFIXES)}")
    return found


def open_source(path: Path, format_name: str, *, delimiter: str = ",") -> Source:
    """The file; raises InvalidRequest, here and while it is read, when it cannot be read or is not of this format."""
    from services.ingest.importing.csv_source import CsvSource
    from services.ingest.importing.json_lines_source import JsonLinesSource
    from services.ingest.importing.parquet_source import ParquetSource

    try:
        if format_name == "parquet":
            return _Watched(path, ParquetSource(path))
        return _Watched(path, CsvSource(path, delimiter) if format_name == "csv" else JsonLinesSource(path))
    except (OSError, pa.ArrowException) as error:
        raise InvalidRequest("FILE", f"{str(path)!r} cannot be read: {error}") from error


class _Watched:
    """A source that says in a sentence where its file is damaged."""

    def __init__(self, path: Path, source: Source) -> None:
        self._path = path
        self._source = source
        self.schema = source.schema
        self.num_rows = source.num_rows

    def chunks(self, columns: Sequence[str], first_row: int, max_rows: int) -> Iterator[Chunk]:
        read = first_row
        try:
            for chunk in self._source.chunks(columns, first_row, max_rows):
                yield chunk
                read = chunk.first_row + chunk.num_rows
        except (OSError, pa.ArrowException) as error:
            raise InvalidRequest(
                "FILE",
                f"{str(self._path)!r} cannot be read after row {read} ({error}); the rows before are done, and an "
                "import of a sound copy finds them as duplicates",
            ) from error


def text_array(values: Sequence[str | None]) -> pa.Array:
    """Text that was read with `surrogateescape`: strings, or all as bytes again when some were not UTF-8."""
    try:
        return pa.array(values, pa.string())
    except UnicodeEncodeError:
        encoded = [None if value is None else value.encode("utf-8", "surrogateescape") for value in values]
        return pa.array(encoded, pa.binary())
