"""What lies in the table's folder besides what the newest version says: files of older versions, and the commit log.

Erased users are looked for in the files themselves, all of them: a wish is fulfilled when nothing on disk is left of
it.
"""

import re
import time
from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import pyarrow.fs as pafs
from deltalake import DeltaTable

from services.adapters.delta_log.rows import SCHEMA
from services.domain.ids import UserId
from services.domain.users import Erasure

_COMMIT: Final = re.compile(r"(\d{20})\..+")
_LOOKED_AT: Final = ("user_id", "event_time")


class ErasedUsers:
    """The users to forget, each with the moment until which, as columns to compare with."""

    def __init__(self, wishes: Sequence[Erasure]) -> None:
        until_us: dict[UserId, int] = {}
        for wish in wishes:
            until_us[wish.user_id] = max(wish.request_time_us, until_us.get(wish.user_id, -1))
        self._ids = pa.array(until_us, pa.string())
        self._until = pa.array(until_us.values(), pa.int64())

    def num_events(self, dataset: ds.Dataset) -> int:
        return sum(len(batch) for batch in self._events(dataset))

    def num_events_each(self, dataset: ds.Dataset) -> Mapping[UserId, int]:
        """Of those who have any."""
        found: Counter[UserId] = Counter()
        for batch in self._events(dataset):
            for each in pc.value_counts(batch["user_id"]).to_pylist():
                found[UserId(each["values"])] += each["counts"]
        return found

    def others(self, dataset: ds.Dataset) -> Iterator[pa.RecordBatch]:
        """All rows but those to forget."""
        for batch in dataset.to_batches():
            yield batch.filter(pc.invert(self._to_forget(batch)))

    def _events(self, dataset: ds.Dataset) -> Iterator[pa.RecordBatch]:
        of_them = pc.field("user_id").isin(self._ids)
        for batch in dataset.to_batches(columns=list(_LOOKED_AT), filter=of_them):
            yield batch.filter(self._to_forget(batch))

    def _to_forget(self, rows: pa.RecordBatch) -> pa.Array:
        until = self._until.take(pc.index_in(rows["user_id"], value_set=self._ids))
        return pc.fill_null(pc.less_equal(rows["event_time"].cast(pa.int64()), until), False)


@dataclass(frozen=True, slots=True)
class Found:
    """What the folder's files hold of erased users; paths are below the folder."""

    num_events: Mapping[str, Mapping[UserId, int]]
    """Of each file that holds something of them."""
    broken: Collection[str]
    """Files that cannot be read, and may hold anybody: a writer is at one, or died at it; its age will delete it."""

    @property
    def suspects(self) -> set[str]:
        return {*self.num_events, *self.broken}


def look_for(folder: Path, users: ErasedUsers) -> Found:
    """Looks into every file of the folder, of whichever version or none, and reads two columns of it."""
    num_events: dict[str, Mapping[UserId, int]] = {}
    broken: list[str] = []
    schema = pa.schema([SCHEMA.field(each) for each in _LOOKED_AT])
    for path in folder.glob("event_date=*/*.parquet"):
        name = path.relative_to(folder).as_posix()
        try:
            of_file = ds.dataset(str(path), schema, format="parquet", filesystem=pafs.LocalFileSystem())
            there = users.num_events_each(of_file)
        except FileNotFoundError:
            continue
        except (OSError, pa.ArrowException):
            broken.append(name)
        else:
            if there:
                num_events[name] = there
    return Found(num_events, broken)


def oldest_version(folder: Path) -> int:
    """The oldest version that the commit log can still put together."""
    checkpoints = [version for version, path in _commits(folder) if ".checkpoint" in path.name]
    commits = sorted({version for version, path in _commits(folder) if path.suffix == ".json"})
    if commits and commits[0] == 0:
        return 0
    return min(checkpoints, default=commits[0] if commits else 0)


def old_commits(folder: Path, kept: Collection[int], min_age_h: int) -> list[Path]:
    """The files of the commit log that no kept and no recent version needs.

    A version is put together from the last checkpoint at or before it and the commits since.
    """
    cutoff = time.time() - min_age_h * 3_600
    recent = [version for version, path in _commits(folder) if path.stat().st_mtime >= cutoff]
    # A recent commit's predecessor was the newest version until then, and somebody may be reading it.
    needed = min([*kept, *(version - 1 for version in recent)], default=None)
    checkpoints = [version for version, path in _commits(folder) if ".checkpoint" in path.name]
    bases = [version for version in checkpoints if needed is None or version <= needed]
    if not bases:
        return []
    return [path for version, path in _commits(folder) if version < max(bases)]


def forget_commits(folder: Path, kept: Collection[int], min_age_h: int) -> int:
    """Deletes those files, after a checkpoint of the newest version; returns how many commits they held.

    By hand, since the library knows age alone and not which versions are kept.
    """
    DeltaTable(folder).create_checkpoint()
    doomed = old_commits(folder, kept, min_age_h)
    for path in sorted(doomed):  # the oldest first: what a crash leaves is still without a gap
        path.unlink(missing_ok=True)
    return sum(path.suffix == ".json" for path in doomed)


def _commits(folder: Path) -> Iterator[tuple[int, Path]]:
    for path in (folder / "_delta_log").iterdir():
        named = _COMMIT.fullmatch(path.name)
        if named is not None:
            yield int(named[1]), path
