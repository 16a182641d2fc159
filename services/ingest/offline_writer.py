"""The offline writer: truth. Every record ends as a row, a dead letter or a counted duplicate, exactly once.

The order of a checkpoint is what makes it so:
1. dead letters are sent and acknowledged (a crash after this sends them again, with the same source offset);
2. rows, duplicates and progress are appended in one atomic commit of the log;
3. the group's offsets are committed, for the lag that others see; the log's progress alone says where to read on.
"""

from collections.abc import Mapping, Sequence

import structlog

from services.domain.errors import TooManyDeadLetters
from services.domain.event_types import EventTypes
from services.domain.interactions import Interaction
from services.domain.ports import Clock, DeadLetters, EventLog, RecordSource
from services.domain.streams import Counts, DeadLetter, LogBatch, Partition, Progress, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.dedupe import SeenEvents

log = structlog.get_logger()


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
        self._progress: dict[Partition, Progress] = {}
        self._dirty: set[Partition] = set()
        self._rows: list[tuple[Partition, Interaction]] = []
        self._letters: list[DeadLetter] = []

    @property
    def num_pending(self) -> int:
        """Rows and dead letters that wait for the next checkpoint."""
        return len(self._rows) + len(self._letters)

    @property
    def has_pending(self) -> bool:
        return bool(self._dirty)

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Reads on from what the log has stored, not from what the group committed."""
        stored = self._event_log.progress(partitions)
        for partition in partitions:
            self._progress[partition] = stored.get(partition, Progress(0, Counts()))
        self._seen = None  # others may have written meanwhile; read again by the next `take`, which may be slow
        return {partition: progress.next_offset for partition, progress in stored.items()}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        """Forgets what is not stored yet: whoever owns the partition now reads it again from the log's progress."""
        gone = set(partitions)
        self._rows = [(partition, row) for partition, row in self._rows if partition not in gone]
        self._letters = [letter for letter in self._letters if letter.record.partition not in gone]
        self._dirty -= gone
        for partition in gone:
            self._progress.pop(partition, None)

    def take(self, records: Sequence[Record]) -> None:
        """Decodes records and keeps them for the next checkpoint.

        Raises TooManyDeadLetters, and has kept them all the same: store them before giving up, or the same records
        would stop every successor.
        """
        now_us = int(self._clock.now().timestamp() * 1_000_000)
        seen = self._seen = self._read_seen() if self._seen is None else self._seen
        for record in records:
            self._count(record, self._outcome(record, seen, now_us))
        if self._consecutive_dead > self._max_consecutive_dead:
            last = records[-1]
            raise TooManyDeadLetters(
                f"The last {self._consecutive_dead} records up to offset {last.offset} of "
                f"{last.partition.topic}/{last.partition.number} are dead and kept as dead letters; mend their "
                "producer, then start this writer again."
            )

    def checkpoint(self, source: RecordSource) -> None:
        """Stores what was taken; does nothing when nothing was. Raises BrokerDown or EventLogConflict."""
        if not self._dirty:
            return
        if self._letters:
            self._dead_letters.send(self._letters)
        progress = {partition: self._progress[partition] for partition in self._dirty}
        version = self._event_log.append(LogBatch([row for _, row in self._rows], progress))
        source.commit({partition: stored.next_offset for partition, stored in progress.items()})
        log.info(
            "events_logged",
            rows=len(self._rows),
            dead=len(self._letters),
            log_version=version,
            offsets={f"{each.topic}/{each.number}": stored.next_offset for each, stored in progress.items()},
        )
        self._rows, self._letters, self._dirty = [], [], set()

    def _read_seen(self) -> SeenEvents:
        seen = SeenEvents(self._dedupe_max_ids)
        for event_id, event_time_us in self._event_log.recent_ids(self._dedupe_window_us):
            seen.first_time(event_id, event_time_us)
        for _, row in self._rows:
            seen.first_time(row.event_id, row.event_time_us)
        return seen

    def _outcome(self, record: Record, seen: SeenEvents, now_us: int) -> Counts:
        decoded = decode_event(record, self._types, self._limits, now_us)
        if isinstance(decoded, DeadLetter):
            self._consecutive_dead += 1
            self._letters.append(decoded)
            log.warning(
                "dead_letter",
                topic=record.partition.topic,
                partition=record.partition.number,
                offset=record.offset,
                reason=decoded.reason.value,
                detail=decoded.detail,
            )
            return Counts(read=1, dead=1)
        self._consecutive_dead = 0
        if not seen.first_time(decoded.event_id, decoded.event_time_us):
            return Counts(read=1, duplicate=1)
        self._rows.append((record.partition, decoded))
        return Counts(read=1, logged=1)

    def _count(self, record: Record, outcome: Counts) -> None:
        before = self._progress.get(record.partition, Progress(0, Counts()))
        self._progress[record.partition] = Progress(record.offset + 1, before.counts + outcome)
        self._dirty.add(record.partition)
