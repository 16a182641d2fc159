"""The offline log as imports need it, in memory: each append is one file a date."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence

import pyarrow as pa
import pyarrow.compute as pc

from services.adapters.delta_log.rows import SCHEMA, to_arrow
from services.domain.interactions import Interaction
from services.domain.streams import LogBatch, Partition, Progress


class FakeImportLog:
    """`asked` counts the files whose ids were asked for."""

    def __init__(self) -> None:
        self.tables: list[pa.Table] = []
        self.asked: list[str] = []
        self._progress: dict[Partition, Progress] = {}

    def progress(self, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]:
        return {each: self._progress[each] for each in partitions if each in self._progress}

    def rows_of(self, interactions: Sequence[Interaction]) -> pa.Table:
        return to_arrow(LogBatch(interactions))

    def append_table(self, rows: pa.Table, progress: Mapping[Partition, Progress]) -> int:
        assert rows.schema == SCHEMA
        self.tables.append(rows)
        self._progress |= progress
        return len(self.tables) - 1

    def files_by_day(self) -> Mapping[int, Sequence[str]]:
        files: dict[int, list[str]] = defaultdict(list)
        for number, table in enumerate(self.tables):
            for day in pc.unique(table["event_date"].cast(pa.int32())).to_pylist():
                files[day].append(f"{number}/{day}")
        return files

    def ids_in(self, files: Sequence[str]) -> pa.ChunkedArray:
        self.asked += files
        parts = []
        for name in files:
            number, day = map(int, name.split("/"))
            table = self.tables[number]
            parts.append(table.filter(pc.equal(table["event_date"].cast(pa.int32()), day))["event_id"])
        return pa.chunked_array([chunk for part in parts for chunk in part.chunks], pa.string())
