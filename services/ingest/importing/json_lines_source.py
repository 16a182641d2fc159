"""JSON Lines: one object a line, its members as columns of text. Empty lines are no rows, a BOM is skipped.

Which columns there are only the whole file tells, so it is read twice: a member may be in its last line alone.
"""

from codecs import BOM_UTF8
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO, Final, TypeAlias

import msgspec
import pyarrow as pa

from services.domain.errors import InvalidRequest
from services.ingest.importing.sources import Chunk, together

MAX_COLUMNS: Final = 10_000  # larger: a file whose names are data takes the memory; smaller: a wide file is refused
MAX_LINE_BYTES: Final = 16 * 1024 * 1024  # larger: more memory for one line; smaller: a long one is cut and unreadable

_Line: TypeAlias = dict[str, Any]
_line: Final = msgspec.json.Decoder(_Line)
_names: Final = msgspec.json.Decoder(dict[str, msgspec.Raw])  # values stay unparsed: half the time


class JsonLinesSource:
    """Numbers and objects become their JSON text, so that a cell means the same here and in CSV; null is no value."""

    num_rows: int | None = None

    def __init__(self, path: Path) -> None:
        self._path = path
        with path.open("rb") as file:
            self.schema = pa.schema([(name, pa.string()) for name in _members(path, _lines(file))])

    def chunks(self, columns: Sequence[str], first_row: int, max_rows: int) -> Iterator[Chunk]:
        with self._path.open("rb") as file:
            rest = islice(_lines(file), first_row, None)
            row = first_row
            while lines := together(rest, max_rows, len):
                parsed = [_parsed(line) for line in lines]
                unreadable = {place: problem for place, problem in enumerate(parsed) if isinstance(problem, str)}
                rows = [{} if isinstance(each, str) else each for each in parsed]
                arrays = {name: pa.array([_text(each.get(name)) for each in rows], pa.string()) for name in columns}
                yield Chunk(row, len(lines), arrays, unreadable)
                row += len(lines)


def _members(path: Path, lines: Iterator[bytes]) -> Collection[str]:
    """The names in all lines, as they first come; raises InvalidRequest when they are too many to be columns."""
    names: dict[str, None] = {}
    for line in lines:
        try:
            in_line = _names.decode(line)
        except (msgspec.DecodeError, UnicodeDecodeError, RecursionError):
            continue  # its row will be unreadable
        if in_line.keys() <= names.keys():
            continue
        names |= dict.fromkeys(in_line)
        if len(names) > MAX_COLUMNS:
            raise InvalidRequest("FILE", f"{str(path)!r} has more than {MAX_COLUMNS:,} different member names")
    return names.keys()


def _lines(file: BinaryIO) -> Iterator[bytes]:
    if file.read(len(BOM_UTF8)) != BOM_UTF8:
        file.seek(0)
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
