"""JSON Lines: one object a line, its members as columns of text. Empty lines are no rows."""

from collections.abc import Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec
import pyarrow as pa

from services.ingest.importing.sources import Chunk

LOOKED_AT: Final = 1_000  # lines whose members are the columns. Smaller: a rare member is not found
MAX_LINE_BYTES: Final = 16 * 1024 * 1024  # larger: more memory for one line; smaller: a long one is cut and unreadable

_Line: TypeAlias = dict[str, Any]
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
                parsed = [_parsed(line) for line in lines]
                unreadable = {place: problem for place, problem in enumerate(parsed) if isinstance(problem, str)}
                rows = [{} if isinstance(each, str) else each for each in parsed]
                arrays = {name: pa.array([_text(each.get(name)) for each in rows], pa.string()) for name in columns}
                yield Chunk(row, len(lines), arrays, unreadable)
                row += len(lines)


def _lines(file: BinaryIO) -> Iterator[bytes]:
    return (line for line in iter(partial(file.readline, MAX_LINE_BYTES), b"") if not line.isspace())


def _parsed(line: bytes) -> _Line | str:
    try:
        return _line.decode(line)
    except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
        return f"not a JSON object: {error}"


def _text(value: object) -> str | None:
    """A string as it is, null as none, anything else as its JSON."""
    if value is None or type(value) is str:
        return value
    return msgspec.json.encode(value).decode()
