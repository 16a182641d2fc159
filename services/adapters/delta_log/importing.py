"""The offline log as an import needs it: rows in bulk, and which ids it has, file by file."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.fs as pafs

from services.adapters.delta_log.log import DeltaEventLog
from services.adapters.delta_log.reading import fragments_by_day, local_dataset, open_newest
from services.adapters.delta_log.rows import SCHEMA, to_arrow
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
        days = fragments_by_day(local_dataset(table, self._at))
        return {day: [fragment.path for fragment in fragments] for day, fragments in days.items()}

    def ids_in(self, files: Sequence[str]) -> pa.ChunkedArray:
        there = [str(path) for path in (self._at / name for name in files) if path.exists()]
        if not there:
            return pa.chunked_array([], pa.string())
        schema = pa.schema([SCHEMA.field("event_id")])
        dataset = ds.dataset(there, schema=schema, format="parquet", filesystem=pafs.LocalFileSystem())
        return dataset.to_table(columns=["event_id"])["event_id"]
