"""The loop of the offline writer: read, and checkpoint by rows, bytes or seconds.

While the log or the brokers refuse a checkpoint the source is paused: memory stays bounded, and the writer keeps its
place in the group, since it goes on polling.
"""

import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from services.domain.errors import EventLogMoved, NightjarError
from services.domain.ports import RecordSource
from services.domain.streams import Record
from services.ingest.offline_writer import OfflineWriter
from services.ingest.waiting import Pauses

log = structlog.get_logger()

POLL_S: Final = 0.2  # larger: slow to stop; smaller: idle CPU


@dataclass(frozen=True, slots=True)
class CheckpointLimits:
    """What makes a checkpoint due: whichever comes first. See IngestSettings."""

    max_rows: int
    max_bytes: int
    max_wait_s: float


def run_checkpoints(
    source: RecordSource, writer: OfflineWriter, stop: threading.Event, limits: CheckpointLimits
) -> None:
    """Reads until `stop` is set, then stores what is pending; a store that is down is waited for.

    Raises TooManyDeadLetters once the records it speaks of are stored.
    """
    _Checkpoints(source, writer, limits).run(stop)


class _Checkpoints:
    def __init__(self, source: RecordSource, writer: OfflineWriter, limits: CheckpointLimits) -> None:
        self._source = source
        self._writer = writer
        self._limits = limits
        self._pending_since = time.monotonic()
        self._refusals: Pauses | None = None

    def run(self, stop: threading.Event) -> None:
        while not stop.is_set():
            records = self._source.poll(POLL_S)
            try:
                self._take(records)
                if self._refusals is None or self._refusals.over():
                    self._store()
            except NightjarError as error:
                if not error.retryable:
                    raise
                self._refused(error)
        try:
            self._writer.checkpoint(self._source)
        except EventLogMoved as moved:  # others keep coming first, and this one was asked to stop
            log.info("left_to_the_next_writer", reason=str(moved))

    def _take(self, records: Sequence[Record]) -> None:
        if not records:
            return
        if not self._writer.has_pending:
            self._pending_since = time.monotonic()
        self._writer.take(records)

    def _store(self) -> None:
        """Stores what is due; and once nothing waits for a store that was down, reading goes on."""
        if self._writer.has_lost_its_place:
            self._source.seek(self._writer.begin_again())
        elif self._is_due():
            self._writer.checkpoint(self._source)
        elif self._refusals is None or self._writer.has_pending:
            return
        if self._refusals is not None:
            self._source.resume()
            self._refusals = None
        self._writer.give_up_if_too_many_are_dead()

    def _is_due(self) -> bool:
        writer, limits = self._writer, self._limits
        full = writer.num_pending >= limits.max_rows or writer.pending_bytes >= limits.max_bytes
        waited = time.monotonic() - self._pending_since >= limits.max_wait_s
        in_trouble = writer.has_too_many_dead or self._refusals is not None
        return writer.has_pending and (full or waited or in_trouble)

    def _refused(self, error: NightjarError) -> None:
        self._refusals = self._refusals or Pauses()
        log.warning("store_down_waiting", reason=error.reason.value, error=str(error), wait_s=self._refusals.begin())
        self._source.pause()
