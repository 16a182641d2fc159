"""CSV files: the first record names the columns, an empty cell is no value. RFC 4180, UTF-8."""

import csv
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import Final

import pyarrow as pa

from services.domain.errors import InvalidRequest
from services.ingest.importing.sources import Chunk, text_array

MAX_CELL_CHARS: Final = 1_000_000  # larger: a forgotten quote swallows the file; smaller: long attributes are refused


class CsvSource:
    """Python's reader: Arrow's is faster, but ends at the first row with a cell too many."""

    num_rows: int | None = None

    def __init__(self, path: Path, delimiter: str) -> None:
        if len(delimiter) != 1:
            raise InvalidRequest("--delimiter", f"{delimiter!r} is not one character")
        self._path = path
        self._delimiter = delimiter
        csv.field_size_limit(MAX_CELL_CHARS)
        with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            header = next(self._records(lines), None)
        if header is None or isinstance(header, csv.Error):
            raise InvalidRequest("FILE", f"{str(path)!r} has no first line that names its columns")
        if len(set(header)) < len(header):
            raise InvalidRequest("FILE", f"{str(path)!r} names a column twice")
        self._header = header
        self.schema = pa.schema([(name, pa.string()) for name in header])

    def chunks(self, columns: Sequence[str], first_row: int, max_rows: int) -> Iterator[Chunk]:
        places = [self._header.index(name) for name in columns]
        width = len(self._header)
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as lines:
            records = self._records(lines)
            next(records)
            row = first_row
            rest = islice(records, first_row, None)
            while records_read := list(islice(rest, max_rows)):
                unreadable: dict[int, str] = {}
                rows: list[Sequence[str]] = []
                for place, record in enumerate(records_read):
                    if isinstance(record, csv.Error):
                        unreadable[place] = f"not CSV: {record}"
                    elif len(record) != width:
                        unreadable[place] = f"has {len(record)} cells, the first line has {width}"
                    else:
                        rows.append(record)
                        continue
                    rows.append([""] * width)
                cells = list(zip(*rows, strict=True))
                arrays = {
                    name: text_array([cell or None for cell in cells[place]])
                    for name, place in zip(columns, places, strict=True)
                }
                yield Chunk(row, len(rows), arrays, unreadable)
                row += len(rows)

    def _records(self, lines: Iterator[str]) -> Iterator[list[str] | csv.Error]:
        """Every record that is not an empty line; an error stands for the record that has it."""
        reader = csv.reader(lines, delimiter=self._delimiter, strict=False)
        while True:
            try:
                record = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                yield error
                continue
            if record:
                yield record
