"""CSV files: the first record names the columns, an empty cell is no value. RFC 4180, UTF-8.

A quote that is never closed runs on into the rows below it. The reader is strict, and a cell has a bound, so that such
a record is always an error, never a row with the others' text in it; the error names all lines it took.
"""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final, TypeAlias

import pyarrow as pa

from services.domain.errors import InvalidRequest
from services.ingest.importing.sources import Chunk, text_array, together

# About the most a record of the stream may have. Larger: a forgotten quote swallows more rows; smaller: a row with a
# long text in any of its columns is refused.
MAX_CELL_CHARS: Final = 65_536

_NO_DELIMITERS: Final = ('"', "\r", "\n")

_Record: TypeAlias = list[str] | str
"""The cells, or what is wrong."""


class CsvSource:
    """Python's reader: Arrow's is faster, but ends at the first row with a cell too many."""

    num_rows: int | None = None

    def __init__(self, path: Path, delimiter: str) -> None:
        if len(delimiter) != 1 or delimiter in _NO_DELIMITERS:
            raise InvalidRequest("--delimiter", f"{delimiter!r} is not one character that may stand between cells")
        self._path = path
        self._delimiter = delimiter
        csv.field_size_limit(MAX_CELL_CHARS)
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            header = next(self._records(lines), None)
        if header is None or isinstance(header, str):
            problem = "" if header is None else f": it {header}"
            raise InvalidRequest("FILE", f"{str(path)!r} has no first line that names its columns{problem}")
        if not all(map(_is_utf8, header)):
            raise InvalidRequest(
                "FILE", f"{str(path)!r} has column names that are not UTF-8; convert it, such as with `iconv -t UTF-8`"
            )
        if len(set(header)) < len(header):
            raise InvalidRequest("FILE", f"{str(path)!r} names a column twice")
        self._header = header
        self.schema = pa.schema([(name, pa.string()) for name in header])

    def chunks(self, columns: Sequence[str], first_row: int, max_rows: int) -> Iterator[Chunk]:
        places = [self._header.index(name) for name in columns]
        width = len(self._header)
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            records = self._records(lines, width)
            next(records)
            row = first_row
            rest = islice(records, first_row, None)
            while records_read := together(rest, max_rows, _num_characters):
                unreadable: dict[int, str] = {}
                rows: list[Sequence[str]] = []
                for place, record in enumerate(records_read):
                    if isinstance(record, str):
                        unreadable[place] = record
                        rows.append([""] * width)
                    else:
                        rows.append(record)
                cells = list(zip(*rows, strict=True))
                arrays = {
                    name: text_array([cell or None for cell in cells[place]])
                    for name, place in zip(columns, places, strict=True)
                }
                yield Chunk(row, len(rows), arrays, unreadable)
                row += len(rows)

    def _records(self, lines: Iterator[str], width: int | None = None) -> Iterator[_Record]:
        """Every record that is not an empty line; a sentence stands for one that has no cells or not `width` of them.

        The next record begins on the line after the one at which the reader gave up.
        """
        reader = csv.reader(lines, delimiter=self._delimiter, strict=True)
        while True:
            first_line = reader.line_num + 1
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                where = _lines_named(first_line, reader.line_num)
                yield f"is not CSV on {where}: {error}; look for a quote that is not closed or not doubled"
                continue
            if width is not None and record and len(record) != width:
                where = _lines_named(first_line, reader.line_num)
                yield f"has {len(record)} cells on {where}, the first line has {width}"
            elif record:
                yield record


def _num_characters(record: _Record) -> int:
    return sum(map(len, record))


def _lines_named(first: int, last: int) -> str:
    """Lines of the file, counted from 1; fewer than `last - first + 1` rows when cells have line ends."""
    return f"line {first}" if first == last else f"lines {first} to {last}"


def _is_utf8(text: str) -> bool:
    return not any("\udc80" <= char <= "\udcff" for char in text)  # what `surrogateescape` makes of other bytes
