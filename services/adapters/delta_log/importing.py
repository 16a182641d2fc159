"""The offline log as an import needs it: rows in bulk, and which ids it has, file by file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
from deltalake import DeltaTable
from deltalake.exceptions import CommitFailedError, DeltaError

from services.adapters.delta_log.log import DeltaEventLog
from services.adapters.delta_log.rows import to_arrow
from services.domain.errors import EventLogMoved
from services.domain.interactions import Interaction
from services.domain.streams import LogBatch, Partition, Progress


class DeltaImportLog(DeltaEventLog):
    """Fulfils ImportLog beside EventLog."""

    def __init__(self, folder: Path) -> None:
        super().__init__(folder)
        self._at = folder
        self._judged: DeltaTable | None = None  # the version whose ids the rows of the next commit are held against

    def rows_of(self, interactions: Sequence[Interaction]) -> pa.Table:
        return to_arrow(LogBatch(interactions))

    def append_table(self, rows: pa.Table, progress: Mapping[Partition, Progress]) -> int:
        table, self._judged = self._judged, None
        if table is None:
            table = self._create()
            if table.version() > 0:
                raise _moved()
        try:
            self._check_that_nobody_else_wrote(table, progress)
            return self._commit(table, rows, progress)
        except CommitFailedError as error:
            raise _moved() from error
        except (DeltaError, OSError) as error:
            raise self._down(str(error)) from error

    def files_by_day(self) -> Mapping[int, Sequence[str]]:
        table = self._judged = self._newest()
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


def _moved() -> EventLogMoved:
    return EventLogMoved("Others store events so often that this import finds no gap; import again when it is quieter.")
