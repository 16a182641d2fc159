"""Housekeeping of the Delta table: retention, erasure, compaction, and deleting what only older versions have.

Every change is a commit like a writer's, made again on a fresh snapshot when others' commits came between. Compaction
and retention don't conflict with appends; erasure rewrites a date and does, with appends to that date. Writers retry
on their side (`DeltaEventLog.append`), so neither waits for the other.
"""

from collections.abc import Callable, Collection, Iterator, Sequence
from datetime import date, timedelta
from pathlib import Path
from typing import Final, TypeVar

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.dataset as ds
import structlog
from deltalake import DeltaTable, write_deltalake
from deltalake.exceptions import CommitFailedError, DeltaError

from services.adapters.delta_log import leftovers
from services.adapters.delta_log.files import WRITER_PROPERTIES
from services.adapters.delta_log.leftovers import ErasedUsers
from services.adapters.delta_log.reading import fragments_by_day, local_dataset, open_newest, open_version
from services.domain.errors import EventLogDown, UnknownVersion
from services.domain.log_keeping import Cleaned, Compacted, Erased, Held, LogFacts
from services.domain.users import Erasure

# Commits lost in a row to others before a date is left for the next run. Larger: a date that is written to all the time
# is rewritten in vain more often; smaller: a little bad luck puts an erasure off by a night.
COMMIT_TRIES: Final = 5
_EPOCH: Final = date(1970, 1, 1)

T = TypeVar("T")

log = structlog.get_logger()


class DeltaLogKeeper:
    """Fulfils LogKeeper on a folder. `target_file_bytes`: files smaller than this are merged up to it.

    `min_small_files`: a date with fewer small files is left as it is.
    """

    def __init__(self, folder: Path, *, target_file_bytes: int, min_small_files: int) -> None:
        self._folder = folder
        self._target_file_bytes = target_file_bytes
        self._min_small_files = max(min_small_files, 2)

    def facts(self) -> LogFacts | None:
        table = open_newest(self._folder)
        if table is None:
            return None
        files = pa.table(table.get_add_actions(flatten=True))
        dates = sorted(map(str, pc.unique(files["partition.event_date"]).to_pylist()))
        return LogFacts(
            version=table.version(),
            oldest_version=leftovers.oldest_version(self._folder),
            num_events=pc.sum(files["num_records"]).as_py() or 0,
            num_files=len(files),
            size_bytes=pc.sum(files["size_bytes"]).as_py() or 0,
            disk_bytes=sum(path.stat().st_size for path in self._folder.rglob("*") if path.is_file()),
            num_dates=len(dates),
            first_date=dates[0] if dates else None,
            last_date=dates[-1] if dates else None,
        )

    def drop_before(self, day: int, *, dry_run: bool) -> int:
        table = open_newest(self._folder)
        days = [] if table is None else list(fragments_by_day(local_dataset(table, self._folder)))
        old = [each for each in days if each < day]
        if old and not dry_run:
            done = self._changed(
                f"dates before {_iso(day)}", lambda newest: newest.delete(f"event_date < '{_iso(day)}'")
            )
            return 0 if done is None else len(old)
        return len(old)

    def erase(self, wishes: Sequence[Erasure], keep_going: Callable[[], bool], *, dry_run: bool) -> Erased:
        table = open_newest(self._folder)
        if table is None or not wishes:
            return Erased(0, 0, 0)
        users = ErasedUsers(wishes)
        dataset = local_dataset(table, self._folder)
        num_events = num_dates = num_left = 0
        for day, fragments in fragments_by_day(dataset).items():
            found = users.num_events(
                ds.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)
            )
            if found == 0:
                continue
            if dry_run or (keep_going() and self._rewritten(day, users)):
                num_events, num_dates = num_events + found, num_dates + 1
            else:
                num_left += 1
        return Erased(num_events, num_dates, num_left)

    def _rewritten(self, day: int, users: ErasedUsers) -> bool:
        """Writes a date anew without these users, a batch at a time; False when others kept committing to it.

        Not Delta's own delete: its commit would name the users, in a log that pinned versions keep for long.
        """

        def rewrite(table: DeltaTable) -> bool:
            dataset = local_dataset(table, self._folder)
            fragments = fragments_by_day(dataset).get(day, [])
            of_day = ds.FileSystemDataset(fragments, dataset.schema, dataset.format, dataset.filesystem)
            rest = pa.RecordBatchReader.from_batches(dataset.schema, users.others(of_day))
            write_deltalake(
                table,
                rest,
                mode="overwrite",
                predicate=f"event_date = '{_iso(day)}'",
                writer_properties=WRITER_PROPERTIES,
            )

            return True

        return self._changed(_iso(day), rewrite) is not None

    def compact(self, keep_going: Callable[[], bool], *, dry_run: bool) -> Compacted:
        crowded = dict(self._crowded_dates())
        before = after = done = 0
        for iso_date, num_small in crowded.items():
            if dry_run:
                before, after, done = before + num_small, after + 1, done + 1
                continue
            if not keep_going():
                break
            filters = [("event_date", "=", iso_date)]
            merged = self._changed(
                iso_date,
                lambda table, filters=filters: table.optimize.compact(  # type: ignore[misc]
                    partition_filters=filters,
                    target_size=self._target_file_bytes,
                    writer_properties=WRITER_PROPERTIES,
                ),
            )
            if merged is None:
                continue
            before, after, done = before + merged["numFilesRemoved"], after + merged["numFilesAdded"], done + 1
        return Compacted(done, before, after)

    def _crowded_dates(self) -> Iterator[tuple[str, int]]:
        """Dates with several small files, and how many."""
        table = open_newest(self._folder)
        if table is None:
            return
        files = pa.table(table.get_add_actions(flatten=True))
        small = files.filter(pc.less(files["size_bytes"], self._target_file_bytes // 2))
        counts = small.group_by("partition.event_date").aggregate([([], "count_all")]).sort_by("partition.event_date")
        for iso_date, count in zip(
            counts["partition.event_date"].to_pylist(), counts["count_all"].to_pylist(), strict=True
        ):
            if count >= self._min_small_files:
                yield str(iso_date), count

    def clean(self, pinned: Collection[int], wishes: Sequence[Erasure], min_age_h: int, *, dry_run: bool) -> Cleaned:
        found = leftovers.look_for(self._folder, ErasedUsers(wishes)) if wishes else leftovers.Found({}, ())
        kept, given_up, missing = self._kept(pinned, found.suspects)
        # Only now: looking takes long, and what this version does not know and is old enough is deleted.
        table = open_newest(self._folder)
        if table is None:
            return Cleaned(0, 0, (), (), (), ())
        try:
            doomed = table.vacuum(
                min_age_h, dry_run=dry_run, enforce_retention_duration=False, full=True, keep_versions=sorted(kept)
            )
            if dry_run:
                num_commits = len(leftovers.old_commits(self._folder, kept, min_age_h))
            else:
                num_commits = leftovers.forget_commits(self._folder, kept, min_age_h)
        except (DeltaError, OSError) as error:
            raise EventLogDown(
                f"The event log in {self._folder} cannot be cleaned ({error}); mend its disk."
            ) from error
        gone = set(doomed)
        still = {user for path, users in found.num_events.items() if path not in gone for user in users}
        seen = [wish for wish in wishes if wish.user_id in still]
        pending = wishes if not gone.issuperset(found.broken) else seen
        return Cleaned(len(doomed), num_commits, given_up, missing, pending, seen)

    def held(self, wish: Erasure) -> Held:
        found = leftovers.look_for(self._folder, ErasedUsers([wish]))
        table = open_newest(self._folder)
        current = set() if table is None else set(_paths(table))
        counts = {path: sum(of_users.values()) for path, of_users in found.num_events.items()}
        return Held(
            num_events_now=sum(count for path, count in counts.items() if path in current),
            num_events_before=sum(count for path, count in counts.items() if path not in current),
            num_files_unreadable=len(found.broken),
        )

    def _kept(self, pinned: Collection[int], tainted: Collection[str]) -> tuple[set[int], list[int], list[int]]:
        """Which of the pinned versions can be kept, which are given up, and which were gone before."""
        kept, given_up, missing = set(), [], []
        for version in sorted(each for each in pinned if each >= 0):
            try:
                paths = _paths(open_version(self._folder, version))
            except UnknownVersion:
                missing.append(version)
                continue
            if any(not (self._folder / path).exists() for path in paths):
                missing.append(version)
            elif any(path in tainted for path in paths):
                given_up.append(version)
            else:
                kept.add(version)
        return kept, given_up, missing

    def _changed(self, what: str, change: Callable[[DeltaTable], T]) -> T | None:
        """What a change committed to the newest version returns; None when others' commits came first each time."""
        for _ in range(COMMIT_TRIES):
            table = open_newest(self._folder)
            if table is None:
                raise EventLogDown(f"The event log in {self._folder} is gone.")
            try:
                return change(table)
            except CommitFailedError:
                continue
            except (DeltaError, OSError, pa.ArrowException) as error:
                raise EventLogDown(
                    f"The event log in {self._folder} cannot be rewritten ({error}); mend its disk."
                ) from error
        log.warning("housekeeping_put_off", what=what, why="others kept writing to it")
        return None


def _paths(table: DeltaTable) -> list[str]:
    paths: list[str] = pa.table(table.get_add_actions())["path"].to_pylist()
    return paths


def _iso(day: int) -> str:
    return (_EPOCH + timedelta(days=day)).isoformat()
