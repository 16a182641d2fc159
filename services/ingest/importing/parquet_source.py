"""Parquet files, in whole batches of Arrow columns."""

from collections.abc import Iterator, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.domain.errors import InvalidRequest
from services.ingest.importing.sources import CHUNK_BYTES, Chunk


class ParquetSource:
    def __init__(self, path: Path) -> None:
        self._file = pq.ParquetFile(path)
        self.schema: pa.Schema = self._file.schema_arrow
        if len(set(self.schema.names)) < len(self.schema):
            raise InvalidRequest("FILE", f"{str(path)!r} names a column twice")
        self.num_rows: int | None = self._file.metadata.num_rows

    def chunks(self, columns: Sequence[str], first_row: int, max_rows: int) -> Iterator[Chunk]:
        groups, skipped = self._groups_from(first_row)
        row = first_row - skipped
        for batch in self._file.iter_batches(self._rows_together(max_rows), row_groups=groups, columns=list(columns)):
            wanted = batch.slice(max(first_row - row, 0))
            if len(wanted):
                arrays = {name: wanted[name] for name in columns}
                yield Chunk(row + len(batch) - len(wanted), len(wanted), arrays)
            row += len(batch)

    def _rows_together(self, max_rows: int) -> int:
        """As many rows as have CHUNK_BYTES before compression, by the row group whose rows are longest."""
        groups = (self._file.metadata.row_group(number) for number in range(self._file.metadata.num_row_groups))
        row_bytes = max((group.total_byte_size / group.num_rows for group in groups if group.num_rows), default=1.0)
        return max(min(max_rows, int(CHUNK_BYTES / row_bytes)), 1)

    def _groups_from(self, first_row: int) -> tuple[list[int], int]:
        """The row groups that hold `first_row` and all after it, and how many rows of them lie before it."""
        metadata, start = self._file.metadata, 0
        for group in range(metadata.num_row_groups):
            end = start + metadata.row_group(group).num_rows
            if end > first_row:
                return list(range(group, metadata.num_row_groups)), first_row - start
            start = end
        return [], 0
