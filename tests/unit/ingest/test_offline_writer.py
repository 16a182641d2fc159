"""Law 1, conservation: read = logged + dead + duplicate, also after a crash between any two steps."""

from collections.abc import Iterator, Mapping, Sequence

import pytest
from structlog.testing import capture_logs

from services.domain.errors import OffsetsWentBack, TooManyDeadLetters
from services.domain.ids import EventId
from services.domain.streams import Counts, DeadLetter, LogBatch, Partition, Record
from tests.fakes.event_log import FakeEventLog
from tests.fakes.offline_writer import drain, writer_on
from tests.fakes.streams import PARTITION, FakeDeadLetters, FakeRecordSource, event_json, records_of

# Five good events, one of them three times, and two bad ones between them.
STREAM = records_of(
    [
        event_json("a"),
        event_json("b"),
        b"{",
        event_json("a"),
        event_json("c"),
        event_json("d", type="?"),
        event_json("a"),
        event_json("e"),
    ]
)
EXPECTED = Counts(read=8, logged=4, dead=2, duplicate=2)


class Crash(Exception):
    """The process dies here."""


class CrashingLog(FakeEventLog):
    crash: str = ""

    def append(self, batch: LogBatch) -> int:
        if self.crash == "before append":
            raise Crash
        version = super().append(batch)
        if self.crash == "after append":
            raise Crash
        return version


class CrashingDeadLetters(FakeDeadLetters):
    crash: str = ""

    def send(self, letters: Sequence[DeadLetter]) -> None:
        if self.crash == "before dead letters":
            raise Crash
        super().send(letters)
        if self.crash == "after dead letters":
            raise Crash


class CrashingSource(FakeRecordSource):
    crash: str = ""

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        if self.crash == "before offsets":
            raise Crash
        super().commit(offsets)


def test_every_record_is_logged_dead_or_a_counted_duplicate() -> None:
    log, letters = FakeEventLog(), FakeDeadLetters()
    writer = writer_on(log, letters)
    source = FakeRecordSource(STREAM, writer)
    drain(source, writer)
    stored = log.progress([PARTITION])[PARTITION]
    assert stored.counts == EXPECTED
    assert log.num_events() == 4
    assert [letter.record.offset for letter in letters.letters] == [2, 5]
    assert source.committed == {PARTITION: len(STREAM)}


@pytest.mark.parametrize(
    "step", ["before dead letters", "after dead letters", "before append", "after append", "before offsets"]
)
@pytest.mark.parametrize("batch", [1, 2, 3, 8])
def test_a_crash_between_any_two_steps_loses_and_repeats_nothing(step: str, batch: int) -> None:
    log, letters = CrashingLog(), CrashingDeadLetters()
    crashes = 0
    for run in range(40):
        writer = writer_on(log, letters)
        source = CrashingSource(STREAM, writer, batch)
        log.crash = letters.crash = source.crash = step if run % 2 == 0 else ""
        try:
            if run % 2 == 0:
                drain(source, writer)
            elif records := source.poll(0):  # one step of progress, then die again
                writer.take(records)
                writer.checkpoint(source)
        except Crash:
            crashes += 1
    stored = log.progress([PARTITION])[PARTITION]
    assert crashes > 0
    assert stored.counts == EXPECTED
    assert log.num_events() == 4
    assert {letter.record.offset for letter in letters.letters} == {2, 5}


def test_a_revoked_partition_leaves_nothing_behind() -> None:
    """Its pending rows belong to whoever owns it now, who reads them again."""
    log, letters = FakeEventLog(), FakeDeadLetters()
    writer = writer_on(log, letters)
    source = FakeRecordSource(STREAM, writer)
    writer.take(source.poll(0))
    writer.revoked([PARTITION])
    writer.checkpoint(source)
    assert log.num_events() == 0
    assert not letters.letters
    successor = writer_on(log, letters)
    drain(FakeRecordSource(STREAM, successor), successor)
    assert log.progress([PARTITION])[PARTITION].counts == EXPECTED


def test_a_duplicate_is_known_after_a_restart() -> None:
    log, letters = FakeEventLog(), FakeDeadLetters()
    for stream in (STREAM[:1], [*STREAM[:1], Record(PARTITION, 1, event_json("a"))]):
        writer = writer_on(log, letters)
        drain(FakeRecordSource(stream, writer), writer)
    assert log.progress([PARTITION])[PARTITION].counts == Counts(read=2, logged=1, duplicate=1)


def test_only_bad_records_in_a_row_stop_the_writer() -> None:
    writer = writer_on(FakeEventLog(), FakeDeadLetters(), max_consecutive_dead=3)
    good_between = records_of([b"{", b"{", b"{", event_json("a"), b"{", b"{", b"{"])
    writer.assigned([PARTITION])
    writer.take(good_between)
    writer.give_up_if_too_many_are_dead()
    writer.take([Record(PARTITION, 7, b"{")])
    with pytest.raises(TooManyDeadLetters, match="last 4 records are dead"):
        writer.give_up_if_too_many_are_dead()


@pytest.mark.parametrize("taken_away", [True, False])
def test_dead_records_that_are_read_again_are_not_counted_twice(taken_away: bool) -> None:
    writer = writer_on(FakeEventLog(), FakeDeadLetters(), max_consecutive_dead=3)
    for _ in range(2):
        writer.assigned([PARTITION])
        writer.take(records_of([b"{"] * 3))
        if taken_away:
            writer.revoked([PARTITION])
        else:
            writer.begin_again()
    writer.give_up_if_too_many_are_dead()


def test_a_topic_that_was_made_anew_stops_the_writer_before_it_stores_anything_over_the_old_one() -> None:
    log = FakeEventLog()
    old = writer_on(log, FakeDeadLetters())
    drain(FakeRecordSource(STREAM, old), old)
    writer = writer_on(log, FakeDeadLetters())
    assert writer.assigned([PARTITION]) == {PARTITION: 8}
    with pytest.raises(OffsetsWentBack, match="made anew"):
        writer.take(records_of([event_json("new")]))


def test_records_that_kafka_deleted_are_passed_over_and_said() -> None:
    log = FakeEventLog()
    writer = writer_on(log, FakeDeadLetters())
    writer.assigned([PARTITION])
    with capture_logs() as lines:
        writer.take([Record(PARTITION, 40, event_json("a")), Record(PARTITION, 41, event_json("b"))])
        writer.take([Record(PARTITION, 44, event_json("c"))])  # marks of a transaction lie between
    said = [line for line in lines if line["event"] == "offsets_passed_over"]
    assert [(line["from_offset"], line["to_offset"]) for line in said] == [(0, 40)]


def test_reading_the_seen_ids_again_is_left_to_the_writers_own_thread() -> None:
    """`assigned` is called while the group hears nothing of this member; a large log would cost it its partitions."""

    class Slow(FakeEventLog):
        def recent_ids(
            self, window_us: int, max_ids: int | None = None
        ) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
            raise AssertionError("read within the callback")

    writer = writer_on(Slow(), FakeDeadLetters())
    assert writer.assigned([PARTITION]) == {PARTITION: 0}
    with pytest.raises(AssertionError):
        writer.take(STREAM[:1])


def test_rows_say_where_they_came_from_and_progress_how_late_it_is() -> None:
    log, letters = FakeEventLog(), FakeDeadLetters()
    batches: list[LogBatch] = []
    append = log.append

    def remembering(batch: LogBatch) -> int:
        batches.append(batch)
        return append(batch)

    log.append = remembering  # type: ignore[method-assign]
    writer = writer_on(log, letters)
    drain(FakeRecordSource(STREAM, writer, batch=100), writer)
    assert [batch.sources for batch in batches] == [[(PARTITION, [0, 1, 4, 7])]]
    assert log.progress([PARTITION])[PARTITION].watermark_us == batches[0].interactions[0].event_time_us
