"""The online writer: freshness. An event is in its user's history milliseconds after it was produced.

Dead records are passed over here: the offline writer counts and keeps them. Applying is idempotent, so offsets are
committed after the write, and a crash between the two only repeats it.
"""

from collections.abc import Mapping, Sequence

from services.domain.event_types import EventTypes
from services.domain.interactions import Interaction
from services.domain.ports import Clock, HistoryWriter
from services.domain.streams import Partition, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.partitions import FromCommittedOffsets


class OnlineWriter(FromCommittedOffsets):
    """Applies records to the histories; goes on from the group's committed offsets."""

    def __init__(self, histories: HistoryWriter, clock: Clock, *, types: EventTypes, limits: Limits) -> None:
        self._histories = histories
        self._clock = clock
        self._types = types
        self._limits = limits

    def apply(self, records: Sequence[Record]) -> Mapping[Partition, int]:
        """Applies the events among the records; returns the offsets that are then done. Raises FeatureStoreDown."""
        now_us = int(self._clock.now().timestamp() * 1_000_000)
        decoded = [decode_event(record, self._types, self._limits, now_us) for record in records]
        self._histories.apply([each for each in decoded if isinstance(each, Interaction)])
        return {record.partition: record.offset + 1 for record in records}
