"""The offline writer: truth. Every record ends as a row, a dead letter or a counted duplicate, exactly once.

The order of a checkpoint is what makes it so:
1. dead letters are sent and acknowledged (a crash after this sends them again, with the same source offset);
2. rows, duplicates and progress are appended in one atomic commit of the log;
3. the group's offsets are committed, for the lag that others see; the log's progress alone says where to read on.
"""

from collections.abc import Mapping, Sequence
from itertools import compress, groupby
from operator import attrgetter
from typing import Final

import structlog

from services.domain.errors import EventLogDown, TooManyDeadLetters
from services.domain.event_types import EventTypes
from services.domain.interactions import Interaction
from services.domain.ports import Clock, DeadLetters, EventLog, RecordSource
from services.domain.streams import Counts, DeadLetter, LogBatch, Partition, Progress, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.dedupe import SeenEvents

log = structlog.get_logger()

_NOTHING: Final = Progress(0, Counts())


class _Stream:
    """One partition: what of it is stored, and what was read since."""

    def __init__(self, partition: Partition, stored: Progress) -> None:
        self.partition = partition
        self.progress = stored
        self.rows: list[Interaction] = []
        self.offsets: list[int] = []
        self.letters: list[DeadLetter] = []

    def take(self, records: Sequence[Record], decoded: Sequence[Interaction | DeadLetter], seen: SeenEvents) -> None:
        """Keeps what is new, and counts all."""
        events = [each for each in decoded if isinstance(each, Interaction)]
        offsets = [
            record.offset for record, each in zip(records, decoded, strict=True) if isinstance(each, Interaction)
        ]
        new = seen.first_times([each.event_id for each in events], [each.event_time_us for each in events])
        rows = list(compress(events, new))
        self.rows += rows
        self.offsets += compress(offsets, new)
        self.letters += [each for each in decoded if isinstance(each, DeadLetter)]
        before, dead = self.progress, len(decoded) - len(events)
        watermarks = [row.event_time_us for row in rows]
        if before.watermark_us is not None:
            watermarks.append(before.watermark_us)
        self.progress = Progress(
            records[-1].offset + 1,
            before.counts + Counts(len(records), len(rows), dead, len(events) - len(rows)),
            max(watermarks, default=None),
        )

    def stored(self) -> None:
        """All that was read is stored now."""
        self.rows, self.offsets, self.letters = [], [], []


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
        if not self._dirty:
            self._pending_bytes = 0

    def take(self, records: Sequence[Record]) -> None:
        """Decodes records and keeps them for the next checkpoint; those of a lost place are read again later.

        Raises EventLogDown when the log cannot say which ids it has: the place is lost then. Raises TooManyDeadLetters,
        and has kept them all the same: store them before giving up, or the same records would stop every successor.
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
            decoded = [decode_event(record, self._types, self._limits, now_us) for record in of_one]
            self._streams[partition].take(of_one, decoded, seen)
            self._dirty.add(partition)
            self._watch_for_dead(decoded)
        self._pending_bytes += sum(len(record.value) for record in records if record.value)
        if self._consecutive_dead > self._max_consecutive_dead:
            last = records[-1]
            raise TooManyDeadLetters(
                f"The last {self._consecutive_dead} records up to offset {last.offset} of "
                f"{last.partition.topic}/{last.partition.number} are dead and kept as dead letters; mend their "
                "producer, then start this writer again."
            )

    def checkpoint(self, source: RecordSource) -> None:
        """Stores what was taken; does nothing when nothing was.

        Raises EventLogMoved, after which the writer must `begin_again`; BrokerDown, EventLogDown, EventLogConflict.
        """
        if not self._dirty:
            return
        streams = [self._streams[partition] for partition in sorted(self._dirty)]
        letters = [letter for stream in streams for letter in stream.letters]
        if letters:
            self._dead_letters.send(letters)
        batch = LogBatch(
            [row for stream in streams for row in stream.rows],
            {stream.partition: stream.progress for stream in streams},
            [(stream.partition.number, offset) for stream in streams for offset in stream.offsets],
        )
        version = self._event_log.append(batch)
        source.commit({partition: stored.next_offset for partition, stored in batch.progress.items()})
        log.info(
            "events_logged",
            rows=len(batch.interactions),
            dead=len(letters),
            log_version=version,
            offsets={f"{each.topic}/{each.number}": stored.next_offset for each, stored in batch.progress.items()},
        )
        for stream in streams:
            stream.stored()
        self._dirty, self._pending_bytes = set(), 0

    def _read_seen(self) -> SeenEvents:
        seen = SeenEvents(self._dedupe_max_ids)
        for event_ids, times_us in self._event_log.recent_ids(self._dedupe_window_us):
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
