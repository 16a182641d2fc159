"""Which event ids the log has: the newest ones, and those that commits have added since a version.

What commits added is read from the commits themselves. Format: the Delta transaction protocol, action `add`;
`dataChange` is false for what compaction merely wrote anew.
"""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Final
from urllib.parse import unquote

import pyarrow as pa
import pyarrow.compute as pc
from deltalake import DeltaTable
from pyarrow.parquet import ParquetFile

ID_COLUMNS: Final = ("event_id", "event_time")

_STATISTICS_US: Final = 1_000  # what a commit says of its files' times may lack as much


def newest_ids(table: DeltaTable, folder: Path, window_us: int, max_ids: int | None) -> Iterator[pa.RecordBatch]:
    """ID_COLUMNS of the events within the window before the newest one; raises OSError when a file cannot be read.

    max_ids: enough files, those with the newest events first, that so many of the newest are among them; None: all.
    """
    since_us: int | None = None
    for path, latest_us in _newest_files(table, max_ids):
        since_us = latest_us - window_us if since_us is None else since_us
        if latest_us + _STATISTICS_US < since_us:
            return
        for rows in ParquetFile(folder / path).iter_batches(columns=ID_COLUMNS):
            yield rows.filter(pc.greater_equal(rows["event_time"].cast(pa.int64()), since_us))


def files_added(folder: Path, after_version: int, to_version: int) -> Iterator[Path]:
    """The files of rows that commits after the one version and up to the other added.

    Raises FileNotFoundError for a commit that was cleaned up.
    """
    for version in range(after_version + 1, to_version + 1):
        commit = (folder / "_delta_log" / f"{version:020}.json").read_text(encoding="utf-8")
        added = [action["add"] for action in map(json.loads, commit.splitlines()) if "add" in action]
        yield from (folder / unquote(each["path"]) for each in added if each["dataChange"])


def _newest_files(table: DeltaTable, max_ids: int | None) -> Iterator[tuple[str, int]]:
    """Paths and newest event times, until the events of those given that are newer than any other are enough."""
    files = pa.table(table.get_add_actions(flatten=True)).sort_by([("max.event_time", "descending")])
    firsts, lasts = (files[f"{end}.event_time"].cast(pa.int64()).to_pylist() for end in ("min", "max"))
    given: list[tuple[int, int]] = []
    num_given = 0
    for path, num_rows, first_us, last_us in zip(
        files["path"].to_pylist(), files["num_records"].to_pylist(), firsts, lasts, strict=True
    ):
        if max_ids is not None and num_given >= max_ids:
            newer = (count for count, since_us in given if since_us > last_us + _STATISTICS_US)
            if sum(newer) >= max_ids:
                return
        yield unquote(path), last_us
        given.append((num_rows, first_us))
        num_given += num_rows
