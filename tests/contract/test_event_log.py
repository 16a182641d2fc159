"""The EventLog port: atomic appends, pinned versions, time order, and progress that says where to read on."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
from deltalake import DeltaTable

from services.adapters.delta_log import DeltaEventLog
from services.domain.errors import EventLogConflict
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
    assert len(log.read(-1).user_ids) == 0


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
    assert set(columns.event_types) == {"view"}
    assert set(columns.user_ids) == {"ada"}
    assert set(columns.item_ids) == {"book"}


def test_a_pinned_version_never_changes(open_log: OpenLog) -> None:
    log = open_log()
    pinned = log.append(LogBatch([event("a", START_US)]))
    log.append(LogBatch([event("b", START_US)]))
    assert len(log.read(pinned).user_ids) == 1
    assert len(log.read(log.version()).user_ids) == 2


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


def test_writers_of_different_partitions_do_not_hinder_each_other(tmp_path: Path) -> None:
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
