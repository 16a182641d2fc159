"""Housekeeping of a real Delta table: what it must keep, what must be gone, and that writers never notice."""

import os
import threading
import time
from collections.abc import Callable, Collection, Iterator
from pathlib import Path

import pyarrow as pa
import pyarrow.dataset as ds
import pytest

from services.adapters.delta_log import DeltaEventLog, leftovers, reading
from services.adapters.delta_log.housekeeping import DeltaLogKeeper
from services.domain.errors import EventLogConflict, EventLogDown, UnknownVersion
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import Counts, LogBatch, Partition, Progress
from services.domain.users import Erasure

DAY_US = 86_400_000_000
START_DAY = 20_000
START_US = START_DAY * DAY_US
PARTITION = Partition("events", 0)
ADA = UserId("ada o'neill \\ é")
LATEST_US = START_US + 10 * DAY_US


def always() -> bool:
    return True


def event(name: str, *, day: int = 0, user: str = "bob", second: int = 0) -> Interaction:
    time_us = START_US + day * DAY_US + second * 1_000_000
    return Interaction(EventId(name), UserId(user), ItemId("book"), "view", time_us)


class Stage:
    """A log, a writer of its one partition, and its keeper; small files are those below 512 KiB."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.writer = DeltaEventLog(folder)
        self.writer.progress([PARTITION])
        self.keeper = DeltaLogKeeper(folder, target_file_bytes=1024 * 1024, min_small_files=2)
        self.num_written = 0

    def write(self, *events: Interaction) -> int:
        self.num_written += len(events)
        done = Progress(self.num_written, Counts(self.num_written, self.num_written))
        return self.writer.append(LogBatch(list(events), {PARTITION: done}))

    def ids(self, version: int | None = None) -> list[str]:
        log = DeltaEventLog(self.folder)
        pinned = log.version() if version is None else version
        ids: list[str] = reading.scan(self.folder, pinned, columns=["event_id"]).read_all()["event_id"].to_pylist()
        return ids

    def files(self) -> set[str]:
        return {path.name for path in self.folder.glob("event_date=*/*.parquet")}

    def newest_offset(self) -> int:
        return DeltaEventLog(self.folder).progress([PARTITION])[PARTITION].next_offset

    def clean(self, pinned: Collection[int] = (), wishes: Collection[Erasure] = (), min_age_h: int = 0) -> list[int]:
        """Returns the versions that were given up."""
        return list(self.keeper.clean(pinned, list(wishes), min_age_h, dry_run=False).given_up)

    def users_on_disk(self) -> set[str]:
        """In every file, of whichever version."""
        data = ds.dataset(
            str(self.folder), pa.schema([("user_id", pa.string())]), format="parquet", exclude_invalid_files=True
        )
        return set(data.to_table()["user_id"].to_pylist())

    def commits(self) -> str:
        return "".join(path.read_text() for path in (self.folder / "_delta_log").glob("*.json"))


@pytest.fixture
def stage(tmp_path: Path) -> Stage:
    return Stage(tmp_path / "log")


def three_days(stage: Stage) -> list[str]:
    """Four commits over three days; returns all ids in order."""
    for commit in range(4):
        stage.write(*(event(f"{day}-{commit}", day=day, second=commit) for day in range(3)))
    return [f"{day}-{commit}" for day in range(3) for commit in range(4)]


def test_compaction_merges_files_and_loses_nothing(stage: Stage) -> None:
    everything = three_days(stage)
    done = stage.keeper.compact(always, dry_run=False)
    assert (done.num_dates, done.num_files_before, done.num_files_after) == (3, 12, 3)
    assert stage.ids() == everything
    assert stage.newest_offset() == 12


def test_a_date_with_few_small_files_is_left_as_it_is(stage: Stage) -> None:
    stage.write(event("a"), event("b", day=1))
    stage.write(event("c"))
    assert stage.keeper.compact(always, dry_run=False).num_dates == 1
    assert stage.keeper.compact(always, dry_run=False).num_dates == 0


def test_compaction_ends_between_dates_when_told_to(stage: Stage) -> None:
    everything = three_days(stage)
    answers = iter([True, False, False])
    assert stage.keeper.compact(lambda: next(answers), dry_run=False).num_dates == 1
    assert stage.ids() == everything


def test_a_writer_commits_after_housekeeping_changed_the_log(stage: Stage) -> None:
    """Its snapshot is from before: compaction, erasure, retention and vacuum are no reason to refuse it."""
    three_days(stage)
    stage.keeper.compact(always, dry_run=False)
    stage.write(event("after compaction", second=50))
    stage.keeper.erase([Erasure(UserId("bob"), START_US + 1_000_000)], always, dry_run=False)
    stage.write(event("after erasure", second=51))
    stage.keeper.drop_before(START_DAY + 1, dry_run=False)
    stage.write(event("after retention", second=52))
    stage.clean()
    stage.write(event("after vacuum", second=53))
    expected = ["after retention", "after vacuum", *(f"{day}-{commit}" for day in (1, 2) for commit in range(4))]
    assert stage.ids() == expected
    assert stage.newest_offset() == 16


def test_housekeeping_goes_on_when_a_writer_commits_meanwhile(stage: Stage) -> None:
    everything = three_days(stage)

    def writing(name: str) -> Callable[[], bool]:
        def once() -> bool:
            stage.write(event(f"{name}-{stage.num_written}", day=2, second=stage.num_written))
            return True

        return once

    assert stage.keeper.compact(writing("compaction"), dry_run=False).num_dates == 3
    late = Erasure(UserId("bob"), START_US + 500_000)
    assert stage.keeper.erase([late], writing("erasure"), dry_run=False).num_dates_left == 0
    assert len(stage.ids()) == len(everything) + 3 + 1 - 1
    assert stage.newest_offset() == stage.num_written


def test_a_zombie_is_refused_whatever_housekeeping_did_meanwhile(stage: Stage) -> None:
    """A retry after a harmless conflict must not let through who lost the partition."""
    three_days(stage)
    zombie = DeltaEventLog(stage.folder)
    zombie.progress([PARTITION])
    stage.write(event("owner"))
    stage.keeper.compact(always, dry_run=False)
    stage.clean()
    with pytest.raises(EventLogConflict):
        zombie.append(LogBatch([event("zombie")], {PARTITION: Progress(13, Counts(13, 13))}))


def test_writers_and_housekeeping_at_the_same_time_lose_nothing(stage: Stage) -> None:
    stage.write(event("first"), event("of ada", user=ADA))
    ended = threading.Event()

    def write() -> None:
        for n in range(40):
            stage.write(event(f"w{n}", day=n % 2, second=n))
        ended.set()

    writer = threading.Thread(target=write)
    writer.start()
    while not ended.is_set() and writer.is_alive():
        stage.keeper.compact(always, dry_run=False)
        stage.keeper.erase([Erasure(ADA, LATEST_US)], always, dry_run=False)
        stage.clean(min_age_h=1)
    writer.join()
    stage.keeper.erase([Erasure(ADA, LATEST_US)], always, dry_run=False)
    assert ended.is_set()
    assert sorted(stage.ids()) == sorted(["first", *(f"w{n}" for n in range(40))])
    assert stage.newest_offset() == 42


def test_an_erasure_takes_all_the_user_did_until_then_and_nothing_else(stage: Stage) -> None:
    stage.write(event("1", user=ADA), event("2"), event("3", user=ADA, day=1), event("4", user=ADA, day=1, second=1))
    stage.write(event("5", user="ada"), event("6", day=2))
    done = stage.keeper.erase([Erasure(ADA, START_US + DAY_US)], always, dry_run=False)
    assert (done.num_events, done.num_dates, done.num_dates_left) == (2, 2, 0)
    assert sorted(stage.ids()) == ["2", "4", "5", "6"]
    assert stage.newest_offset() == 6


def test_each_user_is_erased_until_their_own_wish(stage: Stage) -> None:
    stage.write(*(event(f"{user}{n}", user=user, second=n) for user in "ab" for n in range(4)))
    wishes = [
        Erasure(UserId("a"), START_US),
        Erasure(UserId("b"), START_US + 2_000_000),
        Erasure(UserId("b"), START_US),
    ]
    stage.keeper.erase(wishes, always, dry_run=False)
    assert sorted(stage.ids()) == ["a1", "a2", "a3", "b3"]


def test_a_date_of_erased_users_only_becomes_empty(stage: Stage) -> None:
    stage.write(event("1", user=ADA), event("2", day=1))
    stage.keeper.erase([Erasure(ADA, LATEST_US)], always, dry_run=False)
    assert stage.ids() == ["2"]


def test_no_commit_names_an_erased_user(stage: Stage) -> None:
    """Pinned versions keep the commit log for long; their names must not be in it."""
    stage.write(event("1", user="carol"), event("2"))
    stage.keeper.erase([Erasure(UserId("carol"), LATEST_US)], always, dry_run=False)
    stage.keeper.compact(always, dry_run=False)
    assert "overwrite" in stage.commits().lower()
    assert "carol" not in stage.commits()


def test_a_date_that_is_always_written_to_is_left_for_the_next_run(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    stage.write(event("1", user=ADA), event("2", user=ADA, day=1))
    rewritten = leftovers.ErasedUsers.others

    def others(users: leftovers.ErasedUsers, dataset: ds.Dataset) -> Iterator[pa.RecordBatch]:
        stage.write(event(f"w{stage.num_written}", second=stage.num_written))
        return rewritten(users, dataset)

    monkeypatch.setattr(leftovers.ErasedUsers, "others", others)
    done = stage.keeper.erase([Erasure(ADA, LATEST_US)], always, dry_run=False)
    assert (done.num_dates, done.num_dates_left) == (1, 1)
    monkeypatch.undo()
    stage.keeper.erase([Erasure(ADA, LATEST_US)], always, dry_run=False)
    assert len(stage.ids()) == stage.num_written - 2


def test_files_of_unpinned_versions_are_gone_and_pinned_ones_still_read(stage: Stage) -> None:
    three_days(stage)
    pinned = stage.writer.version()
    at_pin, pinned_files = stage.ids(), stage.files()
    stage.write(event("later", second=9))
    unpinned = stage.writer.version()
    at_unpinned = stage.files() - pinned_files
    stage.keeper.compact(always, dry_run=False)
    assert stage.clean([pinned]) == []
    assert stage.ids(pinned) == at_pin
    assert stage.files() & at_unpinned == set()
    assert pinned_files <= stage.files()
    assert len(stage.ids()) == 13
    stage.clean()
    assert stage.files() & pinned_files == set()
    for gone in (pinned, unpinned):
        with pytest.raises(UnknownVersion):
            stage.ids(gone)
    assert stage.newest_offset() == 13


def test_who_reads_now_is_not_cut_off(stage: Stage) -> None:
    """The minimum age counts from when the log let go of a file, not from when it was written."""
    everything = three_days(stage)
    two_days_ago = time.time() - 2 * 86_400
    for path in stage.folder.glob("event_date=*/*.parquet"):
        os.utime(path, (two_days_ago, two_days_ago))
    reader = reading.scan(stage.folder, stage.writer.version(), columns=["event_id"], sort_rows=1)
    read = [next(reader)]
    stage.keeper.compact(always, dry_run=False)
    stage.keeper.drop_before(START_DAY + 2, dry_run=False)
    stage.clean(min_age_h=1)
    read += list(reader)
    assert [name for batch in read for name in batch["event_id"].to_pylist()] == everything


def test_what_is_stored_during_a_long_look_is_not_taken_for_an_orphan(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    """All files are looked into for erased users first, which may take longer than the minimum age."""
    stage.write(event("before"))
    look_for = leftovers.look_for

    def slow(folder: Path, users: leftovers.ErasedUsers) -> leftovers.Found:
        found = look_for(folder, users)
        stage.write(event("meanwhile"))
        return found

    monkeypatch.setattr(leftovers, "look_for", slow)
    stage.keeper.clean((), [Erasure(ADA, LATEST_US)], 0, dry_run=False)
    assert sorted(stage.ids()) == ["before", "meanwhile"]


def test_half_written_files_are_deleted_once_they_are_old(stage: Stage) -> None:
    stage.write(event("a"))
    orphan = stage.folder / "event_date=2024-10-04" / "part-crashed.parquet"
    orphan.write_bytes(b"PAR1")
    stage.clean(min_age_h=1)
    assert orphan.exists()
    stage.clean(min_age_h=0)
    assert not orphan.exists()


def test_erasure_is_stronger_than_a_pin(stage: Stage) -> None:
    """Law 7 over law 5: a version with an erased user is given up, another pinned one is kept."""
    without = stage.write(event("1"))
    with_ada = stage.write(event("2", user=ADA, day=1))
    wishes = [Erasure(ADA, LATEST_US)]
    stage.keeper.erase(wishes, always, dry_run=False)
    assert ADA in stage.users_on_disk()
    young = stage.keeper.clean([without, with_ada], wishes, 1, dry_run=False)
    assert list(young.pending) == wishes
    assert list(young.given_up) == [with_ada]
    done = stage.keeper.clean([without, with_ada], wishes, 0, dry_run=False)
    assert (list(done.pending), list(done.given_up)) == ([], [with_ada])
    assert stage.users_on_disk() == {"bob"}
    assert stage.ids(without) == ["1"]
    with pytest.raises((UnknownVersion, EventLogDown)):
        stage.ids(with_ada)


def test_half_a_file_may_hold_anybody(stage: Stage) -> None:
    stage.write(event("1"))
    (stage.folder / "event_date=2024-10-04" / "part-crashed.parquet").write_bytes(b"PAR1")
    wishes = [Erasure(ADA, LATEST_US)]
    assert list(stage.keeper.clean((), wishes, 1, dry_run=False).pending) == wishes


def test_the_commit_log_is_cut_before_what_is_kept(stage: Stage) -> None:
    """Law 9; and everything that is kept still reads, the writer's progress first of all."""
    for n in range(5):
        stage.write(event(str(n), second=n))
    pinned = stage.writer.version()
    stage.clean([pinned])
    stage.write(event("later", second=9))
    before = len(list((stage.folder / "_delta_log").glob("*.json")))
    first = stage.keeper.clean([pinned], (), 0, dry_run=False)
    assert first.num_commits == 0 or leftovers.oldest_version(stage.folder) <= pinned
    assert stage.ids(pinned) == [str(n) for n in range(5)]
    second = stage.keeper.clean((), (), 0, dry_run=False)
    assert second.num_commits > 0
    assert len(list((stage.folder / "_delta_log").glob("*.json"))) < before
    assert leftovers.oldest_version(stage.folder) > pinned
    assert stage.newest_offset() == 6
    assert len(stage.ids()) == 6
    stage.write(event("after", second=10))
    assert len(stage.ids()) == 7


def test_recent_commits_are_kept_for_those_who_read_them(stage: Stage) -> None:
    version = stage.write(event("1"))
    stage.write(event("2", second=1))
    stage.clean(min_age_h=1)
    assert stage.ids(version) == ["1"]


def test_retention_drops_whole_dates_and_nothing_younger(stage: Stage) -> None:
    three_days(stage)
    assert stage.keeper.drop_before(START_DAY + 1, dry_run=False) == 1
    assert stage.ids() == [f"{day}-{commit}" for day in (1, 2) for commit in range(4)]
    assert stage.keeper.drop_before(START_DAY + 1, dry_run=False) == 0
    assert stage.newest_offset() == 12


def test_a_dry_run_says_what_would_be_and_changes_nothing(stage: Stage) -> None:
    three_days(stage)
    stage.keeper.compact(always, dry_run=False)
    stage.write(event("x", second=20))
    before = sorted(path.name for path in stage.folder.rglob("*"))
    wishes = [Erasure(UserId("bob"), START_US)]
    assert stage.keeper.drop_before(START_DAY + 1, dry_run=True) == 1
    assert stage.keeper.erase(wishes, always, dry_run=True).num_events == 1
    assert stage.keeper.compact(always, dry_run=True).num_dates == 1
    assert stage.keeper.clean((), (), 0, dry_run=True).num_files == 12
    assert sorted(path.name for path in stage.folder.rglob("*")) == before


def test_a_log_that_does_not_exist_yet_needs_no_housekeeping(tmp_path: Path) -> None:
    keeper = DeltaLogKeeper(tmp_path / "log", target_file_bytes=1024, min_small_files=2)
    assert keeper.facts() is None
    assert keeper.drop_before(START_DAY, dry_run=False) == 0
    assert keeper.erase([Erasure(ADA, 0)], always, dry_run=False).num_events == 0
    assert keeper.compact(always, dry_run=False).num_dates == 0
    assert keeper.clean([3], [Erasure(ADA, 0)], 0, dry_run=False).num_files == 0


def test_the_facts_tell_what_the_log_holds(stage: Stage) -> None:
    three_days(stage)
    stage.keeper.compact(always, dry_run=False)
    facts = stage.keeper.facts()
    assert facts is not None
    assert (facts.num_events, facts.num_files, facts.num_dates) == (12, 3, 3)
    assert (facts.first_date, facts.last_date) == ("2024-10-04", "2024-10-06")
    assert 0 < facts.size_bytes < facts.disk_bytes
    assert (facts.oldest_version, facts.version) == (0, stage.writer.version())
