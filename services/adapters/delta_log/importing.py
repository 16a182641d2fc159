"""The offline log as an import needs it: rows in bulk, and which ids it has, file by file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq

from services.adapters.delta_log.log import DeltaEventLog
from services.adapters.delta_log.reading import open_newest
from services.adapters.delta_log.rows import to_arrow
from services.domain.interactions import Interaction
from services.domain.streams import LogBatch


class DeltaImportLog(DeltaEventLog):
    """Fulfils ImportLog beside EventLog."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._at = folder

    def rows_of(self, interactions: Sequence[Interaction]) -> pa.Table:
        return to_arrow(LogBatch(interactions))

    def files_by_day(self) -> Mapping[int, Sequence[str]]:
        table = open_newest(self._at)
        if table is None:
            return {}
        files = pa.table(table.get_add_actions(flatten=True))
        days: dict[int, list[str]] = {}
        dates = files["partition.event_date"].cast(pa.int32()).to_pylist()
        for day, path in zip(dates, files["path"].to_pylist(), strict=True):
            days.setdefault(day, []).append(path)
        return days

    def ids_in(self, files: Sequence[str]) -> pa.ChunkedArray:
        there = [path for path in (self._at / name for name in files) if path.exists()]
        read = [pq.ParquetFile(path).read(columns=["event_id"])["event_id"] for path in there]
        return pa.chunked_array([chunk for ids in read for chunk in ids.chunks], pa.string())
