"""The loops of the writers that apply at once: online, catalog."""

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Final

from services.domain.ports import RecordSource
from services.domain.streams import Partition, Record
from services.ingest.online_writer import OnlineWriter
from services.ingest.waiting import until_done

POLL_S: Final = 0.2  # larger: slow to stop; smaller: idle CPU
_CHECK_S: Final = 1.0  # larger: an emptied Redis is noticed later; smaller: calls that tell nothing new
_COMMIT_S: Final = 5.0  # larger: the lag that others see is older; smaller: events wait for commits, 10 ms each


def run_applying(
    source: RecordSource, apply: Callable[[Sequence[Record]], Mapping[Partition, int]], stop: threading.Event
) -> None:
    """Applies each poll's records, then commits their offsets, until `stop` is set; waits for a store that is down."""
    while not stop.is_set():
        records = source.poll(POLL_S)
        if records:
            offsets = until_done(lambda records=records: apply(records), stop)  # type: ignore[misc]
            if offsets is not None:
                source.commit(offsets)


def run_online(source: RecordSource, writer: OnlineWriter, stop: threading.Event) -> None:
    """Applies each poll's records until `stop` is set, and reads again what Redis has not; waits while it is down.

    Who asks to be forgotten is forgotten with the next poll. Now and then it looks whether Redis still has what was
    written, and commits offsets, for the lag that others see.
    """

    def apply(records: Sequence[Record]) -> Mapping[Partition, int]:
        writer.forget_new()
        return writer.apply(records)

    committed: Mapping[Partition, int] = {}
    check_at = commit_at = time.monotonic()
    while not stop.is_set():
        records = source.poll(POLL_S)
        source.seek(until_done(partial(apply, records), stop) or {})
        if writer.has_lost_its_place or time.monotonic() >= check_at:
            source.seek(until_done(writer.rewinds, stop) or {})
            check_at = time.monotonic() + _CHECK_S
        if time.monotonic() >= commit_at:
            committed = _commit(source, writer, committed)
            commit_at = time.monotonic() + _COMMIT_S
    _commit(source, writer, committed)


def _commit(source: RecordSource, writer: OnlineWriter, committed: Mapping[Partition, int]) -> Mapping[Partition, int]:
    """Commits what has moved since; returns what is committed now."""
    positions = writer.positions
    moved = {partition: offset for partition, offset in positions.items() if committed.get(partition) != offset}
    if moved:
        source.commit(moved)
    return positions
