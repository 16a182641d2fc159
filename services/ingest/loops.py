"""The two loops of a writer process: checkpoint by rows or seconds (offline), or apply at once (online, catalog)."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final, TypeVar

import structlog

from services.domain.errors import NightjarError, TooManyDeadLetters
from services.domain.ports import RecordSource
from services.domain.streams import Partition, Record
from services.ingest.offline_writer import OfflineWriter

log = structlog.get_logger()

T = TypeVar("T")

_POLL_S: Final = 0.2  # larger: slow to stop; smaller: idle CPU
_FIRST_RETRY_S: Final = 0.1
_LAST_RETRY_S: Final = 5.0  # larger: slow to see that the store is back; smaller: it is asked while it starts


def run_checkpoints(
    source: RecordSource, writer: OfflineWriter, stop: threading.Event, *, max_rows: int, max_wait_s: float
) -> None:
    """Reads until `stop` is set, then stores what is pending; a store that is down is waited for."""
    pending_since = time.monotonic()
    while not stop.is_set():
        had_pending = writer.has_pending
        try:
            writer.take(source.poll(_POLL_S))
        except TooManyDeadLetters:
            _until_done(lambda: writer.checkpoint(source), stop)
            raise
        if not had_pending:
            pending_since = time.monotonic()
        if writer.num_pending >= max_rows or (writer.has_pending and time.monotonic() - pending_since >= max_wait_s):
            _until_done(lambda: writer.checkpoint(source), stop)
    writer.checkpoint(source)


def run_applying(
    source: RecordSource, apply: Callable[[Sequence[Record]], Mapping[Partition, int]], stop: threading.Event
) -> None:
    """Applies each poll's records, then commits their offsets, until `stop` is set; waits for a store that is down."""
    while not stop.is_set():
        records = source.poll(_POLL_S)
        if records:
            offsets = _until_done(lambda records=records: apply(records), stop)  # type: ignore[misc]
            if offsets is not None:
                source.commit(offsets)


def _until_done(action: Callable[[], T], stop: threading.Event) -> T | None:
    """Tries until it succeeds; None when told to stop. Errors that waiting cannot mend pass through."""
    wait_s = _FIRST_RETRY_S
    while True:
        try:
            return action()
        except NightjarError as error:
            if not error.retryable:
                raise
            log.warning("store_down_waiting", reason=error.reason.value, error=str(error), wait_s=wait_s)
        if stop.wait(wait_s):
            return None
        wait_s = min(wait_s * 2, _LAST_RETRY_S)
