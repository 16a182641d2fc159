"""The loop of the offline writer: read, and checkpoint by rows or seconds."""

import threading
import time
from typing import Final

from services.domain.errors import TooManyDeadLetters
from services.domain.ports import RecordSource
from services.ingest.offline_writer import OfflineWriter
from services.ingest.waiting import until_done

POLL_S: Final = 0.2  # larger: slow to stop; smaller: idle CPU


def run_checkpoints(
    source: RecordSource, writer: OfflineWriter, stop: threading.Event, *, max_rows: int, max_wait_s: float
) -> None:
    """Reads until `stop` is set, then stores what is pending; a store that is down is waited for."""
    pending_since = time.monotonic()
    while not stop.is_set():
        had_pending = writer.has_pending
        try:
            writer.take(source.poll(POLL_S))
        except TooManyDeadLetters:
            until_done(lambda: writer.checkpoint(source), stop)
            raise
        if not had_pending:
            pending_since = time.monotonic()
        if writer.num_pending >= max_rows or (writer.has_pending and time.monotonic() - pending_since >= max_wait_s):
            until_done(lambda: writer.checkpoint(source), stop)
    writer.checkpoint(source)
