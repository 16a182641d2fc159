"""The loop of the writers that apply at once: online, catalog."""

import threading
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from services.domain.ports import RecordSource
from services.domain.streams import Partition, Record
from services.ingest.waiting import until_done

POLL_S: Final = 0.2  # larger: slow to stop; smaller: idle CPU


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
