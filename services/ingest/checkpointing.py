"""The loop of the offline writer: read, and checkpoint by rows, bytes or seconds.

While the log or the brokers refuse a checkpoint the source is paused: memory stays bounded, and the writer keeps its
place in the group, since it goes on polling.
"""

import threading
import time
from dataclasses import dataclass
from typing import Final

import structlog

from services.domain.errors import NightjarError, TooManyDeadLetters
from services.domain.ports import RecordSource
from services.ingest.offline_writer import OfflineWriter
from services.ingest.waiting import Pauses, until_done

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
    """Reads until `stop` is set, then stores what is pending; a store that is down is waited for."""
    pending_since = time.monotonic()
    refusals: Pauses | None = None
    while not stop.is_set():
        had_pending = writer.has_pending
        try:
            writer.take(source.poll(POLL_S))
        except TooManyDeadLetters:
            until_done(lambda: writer.checkpoint(source), stop)
            raise
        if not had_pending:
            pending_since = time.monotonic()
        if not _is_due(writer, limits, pending_since) or (refusals is not None and not refusals.over()):
            continue
        try:
            writer.checkpoint(source)
        except NightjarError as error:
            if not error.retryable:
                raise
            refusals = refusals or Pauses()
            log.warning("store_down_waiting", reason=error.reason.value, error=str(error), wait_s=refusals.begin())
            source.pause()
        else:
            if refusals is not None:
                source.resume()
            refusals = None
    writer.checkpoint(source)


def _is_due(writer: OfflineWriter, limits: CheckpointLimits, pending_since: float) -> bool:
    full = writer.num_pending >= limits.max_rows or writer.pending_bytes >= limits.max_bytes
    return full or (writer.has_pending and time.monotonic() - pending_since >= limits.max_wait_s)
