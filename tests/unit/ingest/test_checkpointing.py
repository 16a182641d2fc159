"""The offline writer's loop: what makes a checkpoint due, and a log that is down, shared, or away for a while."""

import threading
from collections.abc import Iterable, Iterator, Mapping, Sequence
from datetime import datetime

import pytest

from services.domain.errors import EventLogDown, TooManyDeadLetters
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.domain.streams import Counts, LogBatch, Partition, Progress, Record
from services.ingest.checkpointing import CheckpointLimits, run_checkpoints
from services.ingest.offline_writer import OfflineWriter
from tests.fakes.event_log import FakeEventLog
from tests.fakes.offline_writer import drain, writer_on
from tests.fakes.streams import PARTITION, FakeDeadLetters, FakeRecordSource, event_json, records_of


def test_a_writer_that_stops_has_stored_what_stopped_it() -> None:
    """Otherwise its successor would stop at the same records, for ever."""
    log, letters = FakeEventLog(), FakeDeadLetters()
    stream = records_of([*[b"{"] * 10, event_json("behind them")])
    stops = 0
    for _ in range(5):
        writer = writer_on(log, letters, max_consecutive_dead=3)
        source = FakeRecordSource(stream, writer, batch=5)
        stop = threading.Event()
        source.when_empty = stop.set
        try:
            run_checkpoints(source, writer, stop, CheckpointLimits(max_rows=1, max_bytes=1_000_000, max_wait_s=0))
        except TooManyDeadLetters:
            stops += 1
    assert stops == 2
    assert log.progress([PARTITION])[PARTITION].counts == Counts(read=11, logged=1, dead=10)
    assert len(letters.letters) == 10


class RefusingLog(FakeEventLog):
    """Down for its first tries."""

    refusals = 2

    def append(self, batch: LogBatch) -> int:
        if self.refusals:
            self.refusals -= 1
            raise EventLogDown("the disk is full")
        return super().append(batch)


class WatchedSource(FakeRecordSource):
    """Remembers how many records each poll gave."""

    def __init__(self, records: Sequence[Record], writer: OfflineWriter, batch: int) -> None:
        super().__init__(records, writer, batch)
        self.polls: list[int] = []

    def poll(self, timeout_s: float) -> Sequence[Record]:
        records = super().poll(timeout_s)
        self.polls.append(len(records))
        return records


def test_while_the_log_is_down_nothing_more_is_read_and_then_nothing_is_missing() -> None:
    """Back-pressure: memory stays at one batch, however long it lasts, and polling goes on."""
    log = RefusingLog()
    writer = writer_on(log, FakeDeadLetters())
    source = WatchedSource(records_of([event_json(str(n)) for n in range(8)]), writer, batch=2)
    stop = threading.Event()
    source.when_empty = stop.set
    run_checkpoints(source, writer, stop, CheckpointLimits(max_rows=2, max_bytes=1_000_000, max_wait_s=60))
    first_pause = source.polls.index(0)
    assert sum(source.polls[:first_pause]) == 2
    assert log.progress([PARTITION])[PARTITION].counts == Counts(read=8, logged=8)


def test_bytes_make_a_checkpoint_due_as_rows_do() -> None:
    log = FakeEventLog()
    writer = writer_on(log, FakeDeadLetters())
    source = FakeRecordSource(records_of([event_json("same")] * 6), writer, batch=1)
    stop = threading.Event()
    versions: list[int] = []

    def end() -> None:
        versions.append(log.version())
        stop.set()

    source.when_empty = end
    limits = CheckpointLimits(max_rows=1_000, max_bytes=2 * len(event_json("same")), max_wait_s=60)
    run_checkpoints(source, writer, stop, limits)
    assert versions == [2]  # three commits of two records each, all but one a duplicate


class MovableSource(FakeRecordSource):
    """A source whose group rebalances when it is told to: the partition goes, and comes back to the same member."""

    def __init__(self, records: Sequence[Record], writer: OfflineWriter, batch: int) -> None:
        super().__init__(records, writer, batch)
        self._writer = writer
        self.rebalances = 0

    def rebalance(self) -> None:
        self.rebalances += 1
        self._writer.revoked([PARTITION])
        self._offsets.update(self._writer.assigned([PARTITION]))


def test_a_rebalance_while_the_log_is_down_does_not_leave_the_writer_paused() -> None:
    """The rows it had are gone with the partition, so nothing is due; it must read on all the same."""
    log = RefusingLog()
    log.refusals = 1
    writer = writer_on(log, FakeDeadLetters())
    source = MovableSource(records_of([event_json(str(n)) for n in range(4)]), writer, batch=2)
    stop = threading.Event()

    def quiet() -> None:
        if source.rebalances == 0:
            source.rebalance()
        else:
            stop.set()

    source.when_empty = quiet
    paused_poll = source.poll

    def poll(timeout_s: float) -> Sequence[Record]:
        records = paused_poll(timeout_s)
        if not records and source.rebalances == 0:
            quiet()
        return records

    source.poll = poll  # type: ignore[method-assign]
    run_checkpoints(source, writer, stop, CheckpointLimits(max_rows=2, max_bytes=1_000_000, max_wait_s=60))
    assert source.rebalances == 1
    assert log.progress([PARTITION])[PARTITION].counts == Counts(read=4, logged=4)


class UnreadableLog(FakeEventLog):
    """Cannot be read for its first questions."""

    def __init__(self, progress_failures: int, ids_failures: int) -> None:
        super().__init__()
        self._left = {"progress": progress_failures, "ids": ids_failures}

    def _ask(self, what: str) -> None:
        if self._left[what]:
            self._left[what] -= 1
            raise EventLogDown("the folder cannot be read")

    def progress(self, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]:
        self._ask("progress")
        return super().progress(partitions)

    def recent_ids(
        self, window_us: int, max_ids: int | None = None
    ) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
        self._ask("ids")
        return super().recent_ids(window_us)


@pytest.mark.parametrize(("progress_failures", "ids_failures"), [(1, 0), (2, 0), (0, 1), (1, 2)])
def test_a_log_that_cannot_be_read_is_waited_for_and_nothing_is_skipped(
    progress_failures: int, ids_failures: int
) -> None:
    """At the assignment, in the group's callback, or when the seen ids are read: the records come again."""
    log = UnreadableLog(progress_failures, ids_failures)
    writer = writer_on(log, FakeDeadLetters())
    source = FakeRecordSource(records_of([event_json(str(n)) for n in range(6)]), writer, batch=2)
    stop = threading.Event()
    source.when_empty = stop.set
    limits = CheckpointLimits(max_rows=2, max_bytes=1_000_000, max_wait_s=60)
    run_checkpoints(source, writer, stop, limits)
    assert log.progress([PARTITION])[PARTITION].counts == Counts(read=6, logged=6)


class SharedLog(FakeEventLog):
    """Somebody else stores these events just before each of the writer's commits, as long as there are any."""

    def __init__(self, beside: Iterable[Sequence[Interaction]]) -> None:
        super().__init__()
        self._beside = list(beside)

    def append(self, batch: LogBatch) -> int:
        if self._beside:
            self.store_beside(self._beside.pop(0))
        return super().append(batch)


def stored_by_another(event_id: str, event_time_us: int = 0) -> Interaction:
    return Interaction(EventId(event_id), UserId("bob"), ItemId("film"), "view", event_time_us)


def test_what_others_store_first_is_a_duplicate_and_counted_once() -> None:
    """An import, or a writer that got the same id on another partition; more than once before the commit is taken."""
    log = SharedLog([[stored_by_another("1"), stored_by_another("other")], [stored_by_another("2")]])
    letters = FakeDeadLetters()
    writer = writer_on(log, letters)
    values = [event_json("0"), b"{", event_json("1"), event_json("2"), event_json("3"), event_json("other")]
    source = FakeRecordSource(records_of(values), writer, batch=5)
    stop = threading.Event()
    source.when_empty = stop.set
    run_checkpoints(source, writer, stop, CheckpointLimits(max_rows=3, max_bytes=1_000_000, max_wait_s=60))
    assert log.progress([PARTITION])[PARTITION].counts == Counts(read=6, logged=2, dead=1, duplicate=3)
    assert log.num_events() == 5
    assert len(letters.letters) == 1


def test_an_event_that_another_stored_moves_no_watermark() -> None:
    log = SharedLog([[stored_by_another("late")]])
    writer = writer_on(log, FakeDeadLetters())
    early, late = "2026-01-02T03:04:05Z", "2026-01-03T03:04:05Z"
    source = FakeRecordSource(
        records_of([event_json("a", eventTime=early), event_json("late", eventTime=late)]), writer
    )
    drain(source, writer)
    watermark_us = log.progress([PARTITION])[PARTITION].watermark_us
    assert watermark_us == datetime.fromisoformat(early).timestamp() * 1_000_000


def test_a_crowd_of_writers_is_waited_for_and_nothing_is_read_again() -> None:
    """It is refused more often than it tries at once, and stores all the same."""
    log = SharedLog([[stored_by_another(f"other {n}")] for n in range(50)])
    writer = writer_on(log, FakeDeadLetters())
    source = FakeRecordSource(records_of([event_json(str(n)) for n in range(3)]), writer)
    stop = threading.Event()
    source.when_empty = stop.set
    run_checkpoints(source, writer, stop, CheckpointLimits(max_rows=1, max_bytes=1_000_000, max_wait_s=60))
    assert log.progress([PARTITION])[PARTITION].counts == Counts(read=3, logged=3)


def test_a_dead_letter_is_sent_once_while_the_log_is_down() -> None:
    log, letters = RefusingLog(), FakeDeadLetters()
    writer = writer_on(log, letters)
    source = FakeRecordSource(records_of([b"{", event_json("a")]), writer)
    stop = threading.Event()
    source.when_empty = stop.set
    run_checkpoints(source, writer, stop, CheckpointLimits(max_rows=1, max_bytes=1_000_000, max_wait_s=60))
    assert log.refusals == 0
    assert log.progress([PARTITION])[PARTITION].counts == Counts(read=2, logged=1, dead=1)
    assert len(letters.letters) == 1
