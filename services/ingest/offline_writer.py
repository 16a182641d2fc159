"""The offline writer: truth. Every record ends as a row, a dead letter or a counted duplicate, exactly once.

The order of a checkpoint is what makes it so:
1. dead letters are sent and acknowledged (a crash after this sends them again, with the same source offset);
2. rows, duplicates and progress are appended in one atomic commit of the log, which is refused while others have stored
   events that this writer has not heard of: it learns their ids, and what they stored already becomes a duplicate;
3. the group's offsets are committed, for the lag that others see; the log's progress alone says where to read on.
"""

from collections.abc import Collection, Iterable, Mapping, Sequence
from itertools import compress, groupby
from operator import attrgetter
from typing import Final

import structlog

from services.domain.errors import EventLogDown, EventLogMoved, OffsetsWentBack, TooManyDeadLetters
from services.domain.event_types import EventTypes
from services.domain.ids import EventId
from services.domain.interactions import Interaction
from services.domain.ports import Clock, DeadLetters, EventLog, RecordSource
from services.domain.streams import Counts, DeadLetter, LogBatch, Partition, Progress, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.dedupe import SeenEvents

log = structlog.get_logger()

_NOTHING: Final = Progress(0, Counts())
# Each refused commit means that another writer's was taken. Larger: reading waits longer for a crowd of them; smaller:
# they pause and back off sooner.
_COMMIT_TRIES: Final = 20


class _Stream:
    """One partition: what of it is stored, and what was read since."""

    def __init__(self, partition: Partition, stored: Progress) -> None:
        self.partition = partition
        self.progress = stored
        self._stored = stored
        self.rows: list[Interaction] = []
        self.offsets: list[int] = []
        self.letters: list[DeadLetter] = []

    def take(self, records: Sequence[Record], decoded: Sequence[Interaction | DeadLetter], seen: SeenEvents) -> None:
        """Keeps what is new, and counts all."""
        letters = [each for each in decoded if isinstance(each, DeadLetter)]
        events = [each for each in decoded if isinstance(each, Interaction)]
        offsets = [record.offset for record in records]
        if letters:
            offsets = [offset for offset, each in zip(offsets, decoded, strict=True) if isinstance(each, Interaction)]
        times_us = [event.event_time_us for event in events]
        new = seen.first_times([event.event_id for event in events], times_us)
        num_new = sum(new)
        self.rows += compress(events, new)
        self.offsets += compress(offsets, new)
        self.letters += letters
        self.progress = Progress(
            records[-1].offset + 1,
            self.progress.counts + Counts(len(records), num_new, len(letters), len(events) - num_new),
            _latest(self.progress.watermark_us, compress(times_us, new)),
        )

    def are_stored_already(self, event_ids: Collection[EventId]) -> None:
        """Rows with these ids are duplicates after all."""
        new = [row.event_id not in event_ids for row in self.rows]
        num_stored = len(new) - sum(new)
        self.rows = list(compress(self.rows, new))
        self.offsets = list(compress(self.offsets, new))
        self.progress = Progress(
            self.progress.next_offset,
            self.progress.counts + Counts(logged=-num_stored, duplicate=num_stored),
            _latest(self._stored.watermark_us, [row.event_time_us for row in self.rows]),
        )

    @property
    def num_dead(self) -> int:
        """Of what was read since, whether its letters are sent or not."""
        return self.progress.counts.dead - self._stored.counts.dead

    def check_offset(self, first: int) -> None:
        """Whether records that begin at this offset come next; raises OffsetsWentBack when they do not.

        A topic that was made anew begins at 0 again, and would be stored over what the log has of the old one.
        """
        name, expected = f"{self.partition.topic}/{self.partition.number}", self.progress.next_offset
        if first < expected:
            raise OffsetsWentBack(
                f"The log holds {name} up to offset {expected}, but Kafka gives {first}: the topic was made anew, or "
                "lost its newest records. Use another topic name, or a new home for the log."
            )
        if first > expected and self.progress == self._stored:
            # Kafka deleted them, or they are marks of transactions, which no reader gets to see.
            log.warning("offsets_passed_over", partition=name, from_offset=expected, to_offset=first)

    def stored(self) -> None:
        """All that was read is stored now."""
        self.rows, self.offsets = [], []
        self._stored = self.progress


def _latest(watermark_us: int | None, event_times_us: Iterable[int]) -> int | None:
    newest_us = max(event_times_us, default=None)
    if watermark_us is None or newest_us is None:
        return newest_us if watermark_us is None else watermark_us
    return max(watermark_us, newest_us)


class OfflineWriter:
    """Collects records and stores them in checkpoints; also the listener of its source's partitions."""

    def __init__(
        self,
        event_log: EventLog,
        dead_letters: DeadLetters,
        clock: Clock,
        *,
        types: EventTypes,
        limits: Limits,
        dedupe_window_us: int,
        dedupe_max_ids: int,
        max_consecutive_dead: int,
    ) -> None:
        self._event_log = event_log
        self._dead_letters = dead_letters
        self._clock = clock
        self._types = types
        self._limits = limits
        self._dedupe_window_us = dedupe_window_us
        self._dedupe_max_ids = dedupe_max_ids
        self._max_consecutive_dead = max_consecutive_dead
        self._consecutive_dead = 0
        self._seen: SeenEvents | None = None
        self._streams: dict[Partition, _Stream] = {}
        self._lost: set[Partition] = set()
        self._dirty: set[Partition] = set()
        self._pending_bytes = 0

    @property
    def num_pending(self) -> int:
        """Rows and dead letters that wait for the next checkpoint."""
        return sum(len(stream.rows) + len(stream.letters) for stream in self._streams.values())

    @property
    def pending_bytes(self) -> int:
        """Size of the records read since the last checkpoint, duplicates included."""
        return self._pending_bytes

    @property
    def has_pending(self) -> bool:
        return bool(self._dirty)

    @property
    def has_lost_its_place(self) -> bool:
        """True when the log could not say where to read on: nothing is taken until `begin_again` has asked again."""
        return bool(self._lost)

    @property
    def has_too_many_dead(self) -> bool:
        """True when more records in a row were dead than a producer in order sends."""
        return self._consecutive_dead > self._max_consecutive_dead

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Reads on from what the log has stored, not from what the group committed; from 0 where it has nothing."""
        self._lost |= set(partitions)
        try:
            return self._begin(partitions)
        except EventLogDown as error:  # raised here, in the group's callback, it would be lost
            log.warning("log_down_at_assignment", error=str(error))
            return {}

    def begin_again(self) -> Mapping[Partition, int]:
        """Forgets all that is not stored; returns where to read on, to be judged by what the log holds now.

        Raises EventLogDown.
        """
        return self._begin([*self._streams, *self._lost - self._streams.keys()])

    def _begin(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        stored = self._event_log.progress(partitions)
        self.revoked(partitions)
        for partition in partitions:
            self._streams[partition] = _Stream(partition, stored.get(partition, _NOTHING))
        self._seen = None  # others may have written meanwhile; read again by the next `take`, which may be slow
        return {partition: self._streams[partition].progress.next_offset for partition in partitions}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forgets what is not stored yet: whoever owns the partition now reads it again from the log's progress."""
        for partition in partitions:
            self._streams.pop(partition, None)
            self._dirty.discard(partition)
            self._lost.discard(partition)
        self._consecutive_dead = 0  # some of them may come again
        if not self._dirty:
            self._pending_bytes = 0

    def take(self, records: Sequence[Record]) -> None:
        """Decodes records and keeps them for the next checkpoint; those of a lost place are read again later.

        Raises EventLogDown when the log cannot say which ids it has: the place is lost then. Raises OffsetsWentBack.
        """
        now_us = int(self._clock.now().timestamp() * 1_000_000)
        try:
            seen = self._seen = self._read_seen() if self._seen is None else self._seen
        except EventLogDown:
            self._lost |= self._streams.keys()
            raise
        for partition, group in groupby(records, key=attrgetter("partition")):
            if partition in self._lost or partition not in self._streams:
                continue
            of_one = list(group)
            self._streams[partition].check_offset(of_one[0].offset)
            decoded = [decode_event(record, self._types, self._limits, now_us) for record in of_one]
            self._streams[partition].take(of_one, decoded, seen)
            self._dirty.add(partition)
            self._watch_for_dead(decoded)
        self._pending_bytes += sum([len(record.value) for record in records if record.value])

    def checkpoint(self, source: RecordSource) -> None:
        """Stores what was taken; does nothing when nothing was. Whatever it raises, the next call goes on from there.

        Raises BrokerDown, EventLogDown, EventLogConflict; EventLogMoved when others keep storing events first.
        """
        if not self._dirty:
            return
        streams = [self._streams[partition] for partition in sorted(self._dirty)]
        self._send_letters(streams)
        batch, version = self._append(streams)
        source.commit({partition: stored.next_offset for partition, stored in batch.progress.items()})
        log.info(
            "events_logged",
            rows=len(batch.interactions),
            dead=sum(stream.num_dead for stream in streams),
            log_version=version,
            offsets={f"{each.topic}/{each.number}": stored.next_offset for each, stored in batch.progress.items()},
        )
        for stream in streams:
            stream.stored()
        self._dirty, self._pending_bytes = set(), 0

    def give_up_if_too_many_are_dead(self) -> None:
        """Raises TooManyDeadLetters; for when they are stored: else the same records would stop every successor."""
        if self.has_too_many_dead:
            raise TooManyDeadLetters(
                f"The last {self._consecutive_dead} records are dead and kept as dead letters; see "
                "`nightjar dlq list`, mend their producer, then start this writer again."
            )

    def _send_letters(self, streams: Sequence[_Stream]) -> None:
        """Each once, however often the log then refuses the rest."""
        letters = [letter for stream in streams for letter in stream.letters]
        if letters:
            self._dead_letters.send(letters)
        for stream in streams:
            stream.letters = []

    def _append(self, streams: Sequence[_Stream]) -> tuple[LogBatch, int]:
        """What was appended, and the version it made."""
        for _ in range(_COMMIT_TRIES - 1):
            batch = _batch_of(streams)
            try:
                return batch, self._event_log.append(batch)
            except EventLogMoved:
                self._learn_what_others_stored(streams)
        batch = _batch_of(streams)
        return batch, self._event_log.append(batch)

    def _learn_what_others_stored(self, streams: Sequence[_Stream]) -> None:
        pending = {row.event_id for stream in streams for row in stream.rows}
        stored: set[EventId] = set()
        for event_ids, times_us in self._event_log.ids_of_others():
            stored.update(pending.intersection(event_ids))
            if self._seen is not None:
                self._seen.first_times(event_ids, times_us)
        for stream in streams:
            if stored:
                stream.are_stored_already(stored)

    def _read_seen(self) -> SeenEvents:
        seen = SeenEvents(self._dedupe_max_ids)
        if self._dedupe_max_ids == 0:
            return seen
        for event_ids, times_us in self._event_log.recent_ids(self._dedupe_window_us, self._dedupe_max_ids):
            seen.first_times(event_ids, times_us)
        for stream in self._streams.values():
            seen.first_times([row.event_id for row in stream.rows], [row.event_time_us for row in stream.rows])
        return seen

    def _watch_for_dead(self, decoded: Sequence[Interaction | DeadLetter]) -> None:
        for each in decoded:
            if isinstance(each, Interaction):
                self._consecutive_dead = 0
                continue
            self._consecutive_dead += 1
            log.warning(
                "dead_letter",
                topic=each.record.partition.topic,
                partition=each.record.partition.number,
                offset=each.record.offset,
                reason=each.reason.value,
                detail=each.detail,
            )


def _batch_of(streams: Sequence[_Stream]) -> LogBatch:
    return LogBatch(
        [row for stream in streams for row in stream.rows],
        {stream.partition: stream.progress for stream in streams},
        [(stream.partition, stream.offsets) for stream in streams],
    )
