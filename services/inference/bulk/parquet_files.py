"""Lists as Parquet: one file, or a folder of parts; either appears under its name only when it is whole."""

import os
import shutil
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.parquet as pq

from services.domain.errors import InvalidRequest
from services.domain.ids import UserId
from services.domain.recommendations import Recommendation

SCHEMA: Final = pa.schema(
    [
        pa.field("user_id", pa.string(), nullable=False),
        pa.field("model_version", pa.string(), nullable=False),
        pa.field("rank", pa.int32(), nullable=False),
        pa.field("item_id", pa.string(), nullable=False),
        pa.field("score", pa.float32(), nullable=False),
        pa.field("source", pa.string(), nullable=False),
        pa.field("history_version", pa.string(), nullable=False),
    ]
)
SUFFIX: Final = ".parquet"
ROWS_A_GROUP: Final = 100_000  # larger: memory, about 100 bytes a row; smaller: larger files
ROWS_A_PART: Final = 5_000_000  # larger: fewer readers at once; smaller: more files


def check_free(out: Path, *, force: bool) -> None:
    """Raises InvalidRequest when something of that name is there that may not be replaced."""
    if out.exists() and not force:
        raise InvalidRequest("--out", f"{str(out)!r} exists; --force replaces it")
    if force and out.is_dir() and any(not _is_ours(path) for path in out.iterdir()):
        raise InvalidRequest("--out", f"{str(out)!r} holds other files than parts of an export; name another folder")
    if not out.absolute().parent.is_dir():
        raise InvalidRequest("--out", f"{str(out.absolute().parent)!r} is no folder")


def _is_ours(path: Path) -> bool:
    return path.name.startswith("part-") and path.suffix == SUFFIX


class ListFiles:
    """Takes lists until `finish`; leaves nothing behind where that is not reached. Used as a context manager.

    A name that ends in .parquet is a file, any other a folder. Raises OSError.
    """

    def __init__(self, out: Path) -> None:
        self._out = out
        self._partial = out.with_name(f".{out.name}.partial")
        self._is_folder = out.suffix != SUFFIX
        self._columns: list[list[object]] = [[] for _ in SCHEMA]
        self._writer: pq.ParquetWriter | None = None
        self._rows_in_part = 0
        self.num_rows = self.num_parts = 0

    def __enter__(self) -> "ListFiles":
        self._clear()
        if self._is_folder:
            self._partial.mkdir()
        return self

    def __exit__(self, *_: object) -> None:
        if self._writer is not None:
            self._writer.close()
        self._clear()

    def add(self, lists: Sequence[tuple[UserId, Recommendation]]) -> None:
        for user_id, answer in lists:
            for rank, item in enumerate(answer.items, start=1):
                row = (user_id, answer.model_version, rank, item.item_id, item.score, str(answer.source))
                for column, value in zip(self._columns, (*row, answer.history_version), strict=True):
                    column.append(value)
        if len(self._columns[0]) >= ROWS_A_GROUP:
            self._write_group()

    def finish(self) -> None:
        """Puts what was written in its place."""
        self._write_group()
        self._end_part()
        if self._is_folder and self._out.exists():
            shutil.rmtree(self._out)
        self._partial.replace(self._out)

    def _write_group(self) -> None:
        if self._writer is None:
            self._writer = pq.ParquetWriter(self._next_part(), SCHEMA, compression="zstd")
        columns = [pa.array(column, field.type) for column, field in zip(self._columns, SCHEMA, strict=True)]
        self._writer.write_table(pa.Table.from_arrays(columns, schema=SCHEMA))
        self.num_rows += len(columns[0])
        self._rows_in_part += len(columns[0])
        self._columns = [[] for _ in SCHEMA]
        if self._is_folder and self._rows_in_part >= ROWS_A_PART:
            self._end_part()

    def _next_part(self) -> Path:
        self._rows_in_part = 0
        self.num_parts += 1
        return self._partial / f"part-{self.num_parts:05d}{SUFFIX}" if self._is_folder else self._partial

    def _end_part(self) -> None:
        if self._writer is None:
            return
        self._writer.close()
        self._writer = None
        for path in self._partial.iterdir() if self._is_folder else (self._partial,):
            with path.open("rb") as file:
                os.fsync(file.fileno())

    def _clear(self) -> None:
        if self._partial.is_dir():
            shutil.rmtree(self._partial)
        self._partial.unlink(missing_ok=True)
