"""The EventLog port: atomic appends, pinned versions, time order, and progress that says where to read on."""

from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Barrier

import numpy as np
import pytest
from deltalake import DeltaTable

from services.adapters.delta_log import DeltaEventLog
from services.adapters.delta_log.housekeeping import DeltaLogKeeper
from services.adapters.delta_log.leftovers import forget_commits
from services.domain.errors import EventLogConflict, EventLogMoved
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.ports import EventLog
from services.domain.streams import Counts, LogBatch, Partition, Progress
from tests.fakes.event_log import FakeEventLog

DAY_US = 86_400_000_000
START_US = 20_000 * DAY_US
FIRST, SECOND = Partition("events", 0), Partition("events", 1)

OpenLog = Callable[[], EventLog]


def event(name: str, time_us: int, value: float | None = None) -> Interaction:
    return Interaction(EventId(name), UserId("ada"), ItemId("book"), "view", time_us, value, attributes={"a": "b"})


def done(next_offset: int, **counts: int) -> Progress:
    return Progress(next_offset, Counts(**counts))


def ids_of(log: EventLog) -> dict[str, int]:
    """What a writer that starts now reads back within a day."""
    return {
        name: time_us for ids, times_us in log.recent_ids(DAY_US) for name, time_us in zip(ids, times_us, strict=True)
    }


@pytest.fixture(params=["fake", "delta"])
def open_log(request: pytest.FixtureRequest, tmp_path: Path) -> OpenLog:
    """Opens the same log anew, as a restarted process would."""
    if request.param == "delta":
        return lambda: DeltaEventLog(tmp_path / "log")
    fake = FakeEventLog()
    return lambda: fake


def test_a_log_that_does_not_exist_yet_is_empty(open_log: OpenLog) -> None:
    log = open_log()
    assert (log.version(), log.num_events()) == (-1, 0)
    assert log.progress([FIRST]) == {}
    assert ids_of(log) == {}
    assert len(log.read(-1)) == 0


def test_rows_and_progress_are_there_after_a_restart(open_log: OpenLog) -> None:
    log = open_log()
    log.append(LogBatch([event("a", START_US)], {FIRST: done(3, read=3, logged=1, dead=1, duplicate=1)}))
    log.append(LogBatch([event("b", START_US)], {SECOND: done(1, read=1, logged=1)}))
    again = open_log()
    assert again.num_events() == 2
    assert again.progress([FIRST, SECOND, Partition("events", 9)]) == {
        FIRST: done(3, read=3, logged=1, dead=1, duplicate=1),
        SECOND: done(1, read=1, logged=1),
    }


def test_the_watermark_of_a_partition_is_part_of_its_progress(open_log: OpenLog) -> None:
    """Not the newest of the log: each partition is read at its own speed."""
    log = open_log()
    log.append(LogBatch([event("a", START_US)], {FIRST: Progress(1, Counts(read=1, logged=1), START_US)}))
    log.append(LogBatch([], {SECOND: done(1, read=1, dead=1)}))
    assert [open_log().progress([each])[each].watermark_us for each in (FIRST, SECOND)] == [START_US, None]


def test_progress_without_rows_is_stored(open_log: OpenLog) -> None:
    """A batch of dead letters only must not be read again."""
    open_log().append(LogBatch([], {FIRST: done(2, read=2, dead=2)}))
    assert open_log().progress([FIRST]) == {FIRST: done(2, read=2, dead=2)}


def test_a_read_is_in_time_order_with_ties_by_event_id(open_log: OpenLog) -> None:
    log = open_log()
    rows = [event("z", START_US), event("c", START_US + DAY_US, 2.0), event("b", START_US + DAY_US), event("a", 5)]
    columns = log.read(log.append(LogBatch(rows)))
    assert columns.event_times_us.tolist() == [5, START_US, START_US + DAY_US, START_US + DAY_US]
    assert np.isnan(columns.values[:3]).all()
    assert columns.values[3] == 2.0
    assert set(columns.event_types.spelled()) == {"view"}
    assert set(columns.users.spelled()) == {"ada"}
    assert set(columns.items.spelled()) == {"book"}


def test_a_pinned_version_never_changes(open_log: OpenLog) -> None:
    log = open_log()
    pinned = log.append(LogBatch([event("a", START_US)]))
    log.append(LogBatch([event("b", START_US)]))
    assert len(log.read(pinned)) == 1
    assert len(log.read(log.version())) == 2


def test_until_is_exclusive(open_log: OpenLog) -> None:
    """Law 8: an as-of read never sees the moment itself, nor anything after it."""
    log = open_log()
    version = log.append(LogBatch([event(str(n), START_US + n) for n in range(5)]))
    assert log.read(version, until_us=START_US + 2).event_times_us.tolist() == [START_US, START_US + 1]


def test_recent_ids_reach_back_the_window_from_the_newest_event(open_log: OpenLog) -> None:
    log = open_log()
    log.append(
        LogBatch([event("old", START_US), event("edge", START_US + DAY_US), event("new", START_US + 2 * DAY_US)])
    )
    assert ids_of(log) == {"edge": START_US + DAY_US, "new": START_US + 2 * DAY_US}


def test_a_zombie_writer_is_refused_and_leaves_no_trace(tmp_path: Path) -> None:
    """It read its position, lost the partition, and comes back after the new owner has written."""
    zombie, owner = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    owner.append(LogBatch([event("a", START_US)], {FIRST: done(1, read=1, logged=1)}))
    zombie.progress([FIRST])
    owner.append(LogBatch([event("b", START_US)], {FIRST: done(2, read=2, logged=2)}))
    with pytest.raises(EventLogConflict):
        zombie.append(LogBatch([event("b", START_US)], {FIRST: done(2, read=2, logged=2)}))
    assert owner.num_events() == 2
    assert DeltaEventLog(tmp_path / "log").progress([FIRST]) == {FIRST: done(2, read=2, logged=2)}


def test_a_zombie_is_seen_even_after_the_owners_other_partitions_were_stored(tmp_path: Path) -> None:
    """The owner's snapshot moves on with each of its commits; what the zombie wrote must not slip in with it."""
    owner, zombie = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    owner.append(LogBatch([event("a", START_US)], {FIRST: done(1, read=1, logged=1)}))
    zombie.progress([FIRST])
    owner.progress([FIRST, SECOND])
    zombie.append(LogBatch([event("b", START_US)], {FIRST: done(2, read=2, logged=2)}))
    owner.append(LogBatch([event("x", START_US)], {SECOND: done(1, read=1, logged=1)}))
    with pytest.raises(EventLogConflict):
        owner.append(LogBatch([event("b", START_US)], {FIRST: done(2, read=2, logged=2)}))
    assert DeltaEventLog(tmp_path / "log").num_events() == 3


def test_a_zombie_that_saw_no_log_yet_is_refused(tmp_path: Path) -> None:
    zombie, owner = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    assert zombie.progress([FIRST]) == {}
    owner.progress([FIRST])
    owner.append(LogBatch([event("a", START_US)], {FIRST: done(1, read=1, logged=1)}))
    with pytest.raises(EventLogConflict):
        zombie.append(LogBatch([event("a", START_US)], {FIRST: done(1, read=1, logged=1)}))
    assert DeltaEventLog(tmp_path / "log").num_events() == 1


def test_a_refused_writer_goes_on_once_it_has_read_its_position_again(tmp_path: Path) -> None:
    first, second = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    first.progress([FIRST])
    second.append(LogBatch([event("a", START_US)], {FIRST: done(1, read=1, logged=1)}))
    with pytest.raises(EventLogConflict):
        first.append(LogBatch([event("a", START_US)], {FIRST: done(1, read=1, logged=1)}))
    assert first.progress([FIRST])[FIRST].next_offset == 1
    first.append(LogBatch([event("b", START_US)], {FIRST: done(2, read=2, logged=2)}))
    assert first.num_events() == 2


def test_writers_of_different_partitions_do_not_fence_each_other(tmp_path: Path) -> None:
    first, second = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    for writer, partition in ((first, FIRST), (second, SECOND)):
        writer.progress([partition])
    for offset in range(1, 4):
        first.append(LogBatch([event(f"a{offset}", START_US)], {FIRST: done(offset, read=offset, logged=offset)}))
        second.append(LogBatch([event(f"b{offset}", START_US)], {SECOND: done(offset, read=offset, logged=offset)}))
    assert DeltaEventLog(tmp_path / "log").num_events() == 6


def test_a_commit_that_housekeeping_overtook_is_tried_again(tmp_path: Path) -> None:
    """Changing the table's properties conflicts with every append under way; no partition changed hands."""
    log = DeltaEventLog(tmp_path / "log")
    log.progress([FIRST])
    log.append(LogBatch([event("a", START_US)], {FIRST: done(1, read=1, logged=1)}))
    DeltaTable(tmp_path / "log").alter.set_table_properties({"delta.logRetentionDuration": "interval 1 days"})
    log.append(LogBatch([event("b", START_US)], {FIRST: done(2, read=2, logged=2)}))
    assert DeltaEventLog(tmp_path / "log").num_events() == 2
    assert DeltaEventLog(tmp_path / "log").progress([FIRST]) == {FIRST: done(2, read=2, logged=2)}


def told(log: EventLog) -> list[str]:
    return [event_id for ids, _ in log.ids_of_others() for event_id in ids]


def test_a_writer_hears_of_what_another_stored_before_it_may_append(tmp_path: Path) -> None:
    """So one event id on two partitions, whose writers remember different ids, is stored once."""
    first, second = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    for writer, partition in ((first, FIRST), (second, SECOND)):
        writer.progress([partition])
        assert ids_of(writer) == {}
    first.append(LogBatch([event("a", START_US), event("b", START_US)], {FIRST: done(2, read=2, logged=2)}))
    for _ in range(2):  # until it has asked
        with pytest.raises(EventLogMoved):
            second.append(LogBatch([event("b", START_US)], {SECOND: done(1, read=1, logged=1)}))
    assert told(second) == ["a", "b"]
    second.append(LogBatch([], {SECOND: done(1, read=1, duplicate=1)}))
    assert told(second) == []
    second.append(LogBatch([event("c", START_US)], {SECOND: done(2, read=2, logged=1, duplicate=1)}))
    assert told(first) == ["c"]
    first.append(LogBatch([event("d", START_US)], {FIRST: done(3, read=3, logged=3)}))
    assert DeltaEventLog(tmp_path / "log").num_events() == 4


def test_of_two_appends_at_the_same_time_one_is_refused(tmp_path: Path) -> None:
    """Both looked before either had stored: the later commit conflicts, looks again, and hears of the earlier."""
    first, second = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    first.append(LogBatch([], {FIRST: done(0)}))
    for writer, partition in ((first, FIRST), (second, SECOND)):
        writer.progress([partition])
        ids_of(writer)
    barrier = Barrier(2)
    refused: list[str] = []

    def append(writer: EventLog, partition: Partition) -> None:
        barrier.wait()
        try:
            writer.append(LogBatch([event("same", START_US)], {partition: done(1, read=1, logged=1)}))
        except EventLogMoved:
            refused.append(partition.topic)
            assert told(writer) == ["same"]

    with ThreadPoolExecutor(2) as pool:
        list(pool.map(append, (first, second), (FIRST, SECOND)))
    assert len(refused) == 1
    assert DeltaEventLog(tmp_path / "log").num_events() == 1


def test_what_housekeeping_writes_anew_is_told_to_nobody(tmp_path: Path) -> None:
    log, other = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    log.progress([FIRST])
    ids_of(log)
    log.append(LogBatch([event("a", START_US)], {FIRST: done(1, read=1, logged=1)}))
    log.append(LogBatch([event("b", START_US)], {FIRST: done(2, read=2, logged=2)}))
    DeltaTable(tmp_path / "log").optimize.compact()
    assert told(log) == []
    log.append(LogBatch([event("c", START_US)], {FIRST: done(3, read=3, logged=3)}))
    other.progress([SECOND])
    other.append(LogBatch([event("d", START_US)], {SECOND: done(1, read=1, logged=1)}))
    assert told(log) == ["d"]


def test_a_writer_that_was_away_for_longer_than_commits_are_kept_reads_the_whole_window(tmp_path: Path) -> None:
    folder = tmp_path / "log"
    away, other = DeltaEventLog(folder), DeltaEventLog(folder)
    away.progress([FIRST])
    ids_of(away)
    other.append(LogBatch([event("a", START_US)], {SECOND: done(1, read=1, logged=1)}))
    other.append(LogBatch([event("b", START_US)], {SECOND: done(2, read=2, logged=2)}))
    forget_commits(folder, [], min_age_h=0)
    assert sorted(told(away)) == ["a", "b"]
    away.append(LogBatch([event("c", START_US)], {FIRST: done(1, read=1, logged=1)}))
    assert DeltaEventLog(folder).num_events() == 3


def test_of_many_ids_the_newest_are_read_and_not_many_others(open_log: OpenLog) -> None:
    """A week of a busy stream has more ids than a writer remembers: reading them all would cost it its partitions."""
    log = open_log()
    for day in (3, 1, 4, 0, 2):
        log.append(LogBatch([event(f"{day}-{n}", START_US + day * DAY_US + n * 1_000_000) for n in range(10)]))
    read = {event_id for ids, _ in log.recent_ids(7 * DAY_US, 15) for event_id in ids}
    assert {f"4-{n}" for n in range(10)} | {f"3-{n}" for n in range(5, 10)} <= read
    assert len(read) <= 20
    assert len({event_id for ids, _ in log.recent_ids(7 * DAY_US) for event_id in ids}) == 50


def test_a_file_that_is_old_but_for_one_event_is_read_too(open_log: OpenLog) -> None:
    """Late events: the newest ids are not only in the newest files."""
    log = open_log()
    log.append(LogBatch([event(f"a{n}", START_US + n) for n in range(10)]))
    log.append(LogBatch([event("old", START_US - 100), event("newest", START_US + 100)]))
    read = {event_id for ids, _ in log.recent_ids(7 * DAY_US, 3) for event_id in ids}
    assert {"newest", "a9", "a8"} <= read


def test_a_writer_whose_files_were_replaced_and_deleted_meanwhile_goes_on(tmp_path: Path) -> None:
    """It was idle for a night: what others added is in other files now, though a pin keeps the commits."""
    folder = tmp_path / "log"
    idle, other, keeper = (
        DeltaEventLog(folder),
        DeltaEventLog(folder),
        DeltaLogKeeper(folder, target_file_bytes=1 << 20, min_small_files=2),
    )
    pinned = other.append(LogBatch([event("0", START_US)], {SECOND: done(1, read=1, logged=1)}))
    idle.progress([FIRST])
    ids_of(idle)
    for offset in range(2, 6):
        other.append(LogBatch([event(str(offset), START_US)], {SECOND: done(offset, read=offset, logged=offset)}))
    DeltaTable(folder).optimize.compact()
    keeper.clean([pinned], (), 0, dry_run=False)
    assert set(told(idle)) == {"0", "2", "3", "4", "5"}
    idle.append(LogBatch([event("mine", START_US)], {FIRST: done(1, read=1, logged=1)}))


def test_what_is_stored_while_ids_are_told_is_told_the_next_time(tmp_path: Path) -> None:
    """Any other question moves the table on; what came meanwhile was not among the files that were read."""
    log, other = DeltaEventLog(tmp_path / "log"), DeltaEventLog(tmp_path / "log")
    other.append(LogBatch([event("a", START_US)], {SECOND: done(1, read=1, logged=1)}))
    log.progress([FIRST])
    questions: list[Callable[[], Iterable[object]]] = [partial(log.recent_ids, DAY_US), log.ids_of_others]
    for tell in questions:
        for number, _ in enumerate(tell()):
            offset = other.progress([SECOND])[SECOND].next_offset + 1
            meanwhile = event(f"meanwhile {offset}-{number}", START_US)
            other.append(LogBatch([meanwhile], {SECOND: done(offset, read=offset, logged=offset)}))
            log.version()
        with pytest.raises(EventLogMoved):
            log.append(LogBatch([event("mine", START_US)], {FIRST: done(1, read=1, logged=1)}))
    assert told(log) == ["meanwhile 3-0"]


def test_what_was_not_told_to_the_end_is_not_taken_as_known(tmp_path: Path) -> None:
    """The look fails half-way, as on a disk that is away: the commit is refused until one succeeds."""
    folder = tmp_path / "log"
    log, other = DeltaEventLog(folder), DeltaEventLog(folder)
    log.progress([FIRST])
    ids_of(log)
    for offset in (1, 2):
        other.append(LogBatch([event(str(offset), START_US)], {SECOND: done(offset, read=offset, logged=offset)}))
    next(iter(log.ids_of_others()))
    next(iter(log.recent_ids(DAY_US)))
    with pytest.raises(EventLogMoved):
        log.append(LogBatch([event("1", START_US)], {FIRST: done(1, read=1, logged=1)}))
    assert told(log) == ["1", "2"]
