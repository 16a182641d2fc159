"""The offline writer: truth. Every record ends as a row, a dead letter or a counted duplicate, exactly once.

The order of a checkpoint is what makes it so:
1. dead letters are sent and acknowledged (a crash after this sends them again, with the same source offset);
2. rows, duplicates and progress are appended in one atomic commit of the log;
3. the group's offsets are committed, for the lag that others see; the log's progress alone says where to read on.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import structlog

from services.domain.errors import TooManyDeadLetters
from services.domain.event_types import EventTypes
from services.domain.interactions import Interaction
from services.domain.ports import Clock, DeadLetters, EventLog, RecordSource
from services.domain.streams import Counts, DeadLetter, LogBatch, Partition, Progress, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.dedupe import SeenEvents

log = structlog.get_logger()


@dataclass(slots=True)
class _Tally:
    """A partition's progress while it is counted: one is changed for each record, so it is no value."""

    next_offset: int = 0
    logged: int = 0
    dead: int = 0
    duplicate: int = 0
    watermark_us: int | None = None

    @classmethod
    def of(cls, stored: Progress | None) -> "_Tally":
        if stored is None:
            return cls()
        counts = stored.counts
        return cls(stored.next_offset, counts.logged, counts.dead, counts.duplicate, stored.watermark_us)

    def progress(self) -> Progress:
        read = self.logged + self.dead + self.duplicate
        return Progress(self.next_offset, Counts(read, self.logged, self.dead, self.duplicate), self.watermark_us)


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
        self._tallies: dict[Partition, _Tally] = {}
        self._dirty: set[Partition] = set()
        self._rows: list[tuple[Partition, int, Interaction]] = []
        self._letters: list[DeadLetter] = []
        self._pending_bytes = 0

    @property
    def num_pending(self) -> int:
        """Rows and dead letters that wait for the next checkpoint."""
        return len(self._rows) + len(self._letters)

    @property
    def pending_bytes(self) -> int:
        """Size of the records read since the last checkpoint, duplicates included."""
        return self._pending_bytes

    @property
    def has_pending(self) -> bool:
        return bool(self._dirty)

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Reads on from what the log has stored, not from what the group committed."""
        stored = self._event_log.progress(partitions)
        self._tallies |= {partition: _Tally.of(stored.get(partition)) for partition in partitions}
        self._seen = None  # others may have written meanwhile; read again by the next `take`, which may be slow
        return {partition: progress.next_offset for partition, progress in stored.items()}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forgets what is not stored yet: whoever owns the partition now reads it again from the log's progress."""
        gone = set(partitions)
        self._rows = [row for row in self._rows if row[0] not in gone]
        self._letters = [letter for letter in self._letters if letter.record.partition not in gone]
        self._dirty -= gone
        for partition in gone:
            self._tallies.pop(partition, None)

    def take(self, records: Sequence[Record]) -> None:
        """Decodes records and keeps them for the next checkpoint.

        Raises TooManyDeadLetters, and has kept them all the same: store them before giving up, or the same records
        would stop every successor.
        """
        now_us = int(self._clock.now().timestamp() * 1_000_000)
        seen = self._seen = self._read_seen() if self._seen is None else self._seen
        decoded = [decode_event(record, self._types, self._limits, now_us) for record in records]
        events = [each for each in decoded if isinstance(each, Interaction)]
        new = iter(seen.first_times([each.event_id for each in events], [each.event_time_us for each in events]))
        for record, each in zip(records, decoded, strict=True):
            tally = self._tallies.setdefault(record.partition, _Tally())
            tally.next_offset = record.offset + 1
            if isinstance(each, DeadLetter):
                tally.dead += 1
                self._keep(each)
                continue
            self._consecutive_dead = 0
            if next(new):
                tally.logged += 1
                tally.watermark_us = max(tally.watermark_us or 0, each.event_time_us)
                self._rows.append((record.partition, record.offset, each))
            else:
                tally.duplicate += 1
        self._dirty |= {record.partition for record in records}
        self._pending_bytes += sum(len(record.value or b"") for record in records)
        if self._consecutive_dead > self._max_consecutive_dead:
            last = records[-1]
            raise TooManyDeadLetters(
                f"The last {self._consecutive_dead} records up to offset {last.offset} of "
                f"{last.partition.topic}/{last.partition.number} are dead and kept as dead letters; mend their "
                "producer, then start this writer again."
            )

    def checkpoint(self, source: RecordSource) -> None:
        """Stores what was taken; does nothing when nothing was. Raises BrokerDown, EventLogDown or EventLogConflict."""
        if not self._dirty:
            return
        if self._letters:
            self._dead_letters.send(self._letters)
        progress = {partition: self._tallies[partition].progress() for partition in self._dirty}
        version = self._event_log.append(
            LogBatch(
                [row for _, _, row in self._rows],
                progress,
                [(partition.number, offset) for partition, offset, _ in self._rows],
            )
        )
        source.commit({partition: stored.next_offset for partition, stored in progress.items()})
        log.info(
            "events_logged",
            rows=len(self._rows),
            dead=len(self._letters),
            log_version=version,
            offsets={f"{each.topic}/{each.number}": stored.next_offset for each, stored in progress.items()},
        )
        self._rows, self._letters, self._dirty, self._pending_bytes = [], [], set(), 0

    def _read_seen(self) -> SeenEvents:
        seen = SeenEvents(self._dedupe_max_ids)
        for event_ids, times_us in self._event_log.recent_ids(self._dedupe_window_us):
            seen.first_times(event_ids, times_us)
        seen.first_times([row.event_id for _, _, row in self._rows], [row.event_time_us for _, _, row in self._rows])
        return seen

    def _keep(self, letter: DeadLetter) -> None:
        self._consecutive_dead += 1
        self._letters.append(letter)
        log.warning(
            "dead_letter",
            topic=letter.record.partition.topic,
            partition=letter.record.partition.number,
            offset=letter.record.offset,
            reason=letter.reason.value,
            detail=letter.detail,
        )
