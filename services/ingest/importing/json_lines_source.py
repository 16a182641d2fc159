"""JSON Lines: one object a line, its members as columns of text. Empty lines are no rows."""

import json
from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import BinaryIO, Final

import msgspec
import pyarrow as pa

from services.ingest.importing.sources import Chunk

LOOKED_AT: Final = 1_000  # lines whose members are the columns. Smaller: a rare member is not found
MAX_LINE_BYTES: Final = 16 * 1024 * 1024  # larger: more memory for one line; smaller: a long one is cut and unreadable

_Line = dict[str, msgspec.Raw]
_line: Final = msgspec.json.Decoder(_Line)


class JsonLinesSource:
    """Numbers and objects become their JSON text, so that a cell means the same here and in CSV; null is no value."""

    num_rows: int | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        names: dict[str, None] = {}
        with path.open("rb") as file:
            for line in islice(_lines(file), LOOKED_AT):
                parsed = _parsed(line)
                if not isinstance(parsed, str):
                    names |= dict.fromkeys(parsed)
        self.schema = pa.schema([(name, pa.string()) for name in names])

    def chunks(self, columns: Sequence[str], first_row: int, max_rows: int) -> Iterator[Chunk]:
        with self._path.open("rb") as file:
            rest = islice(_lines(file), first_row, None)
            row = first_row
            while lines := list(islice(rest, max_rows)):
                unreadable: dict[int, str] = {}
                cells: list[list[str | None]] = [[] for _ in columns]
                for place, line in enumerate(lines):
                    values = self._values(line, columns)
                    if isinstance(values, str):
                        unreadable[place] = values
                        values = [None] * len(columns)
                    for column, value in zip(cells, values, strict=True):
                        column.append(value)
                arrays = {name: pa.array(column, pa.string()) for name, column in zip(columns, cells, strict=True)}
                yield Chunk(row, len(lines), arrays, unreadable)
                row += len(lines)

    def _values(self, line: bytes, columns: Sequence[str]) -> list[str | None] | str:
        """The cells of a line, or what is wrong with it."""
        parsed = _parsed(line)
        if isinstance(parsed, str):
            return parsed
        try:
            return [_text(parsed.get(name)) for name in columns]
        except ValueError as error:
            return f"not JSON: {error}"


def _lines(file: BinaryIO) -> Iterator[bytes]:
    return (line for line in iter(partial(file.readline, MAX_LINE_BYTES), b"") if not line.isspace())


def _parsed(line: bytes) -> _Line | str:
    try:
        return _line.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"not a JSON object: {error}"


def _text(value: msgspec.Raw | None) -> str | None:
    """A string as it is, null as none, anything else as it was written. Raises ValueError."""
    if value is None:
        return None
    raw = bytes(value)
    if raw == b"null":
        return None
    text = str(json.loads(raw)) if raw[:1] == b'"' and b"\\" in raw else raw.decode()
    return text[1:-1] if raw[:1] == b'"' and b"\\" not in raw else text
