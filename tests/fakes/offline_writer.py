"""An offline writer on fakes, with a day of memory, and a loop that stores each poll."""

from datetime import UTC, datetime

from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.ingest.codec import Limits
from services.ingest.offline_writer import OfflineWriter
from tests.fakes.clock import FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.fakes.streams import FakeDeadLetters, FakeRecordSource


def writer_on(log: FakeEventLog, letters: FakeDeadLetters, max_consecutive_dead: int = 100) -> OfflineWriter:
    return OfflineWriter(
        log,
        letters,
        FakeClock(datetime(2026, 2, 1, tzinfo=UTC)),
        types=DEFAULT_EVENT_TYPES,
        limits=Limits(4_096, 86_400_000_000),
        dedupe_window_us=86_400_000_000,
        dedupe_max_ids=1_000,
        max_consecutive_dead=max_consecutive_dead,
    )


def drain(source: FakeRecordSource, writer: OfflineWriter) -> None:
    while records := source.poll(0):
        writer.take(records)
        writer.checkpoint(source)
