"""The online writer: freshness. An event is in its user's history milliseconds after it was produced.

Dead records are passed over here: the offline writer counts and keeps them. What Redis holds says where to read on:
each partition's counters have a fence, and lie in the same Redis as the histories. So a Redis that was emptied,
restored or rebuilt is filled again from its fence, as far back as Kafka remembers; without those who asked meanwhile to
be forgotten.
"""

from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence

import structlog

from services.domain.counters import CounterBatch, shard_of
from services.domain.erased import ErasedUsers
from services.domain.event_types import EventTypes
from services.domain.ids import UserId
from services.domain.interactions import Interaction
from services.domain.ports import Clock, CounterWriter, HistoryWriter
from services.domain.streams import Partition, Record
from services.domain.users import Erasure
from services.ingest.codec import Limits, decode_event
from services.ingest.erased import ErasureFollower

log = structlog.get_logger()


class OnlineWriter:
    """Applies records to histories and counters; also the listener of its source's partitions."""

    def __init__(
        self,
        histories: HistoryWriter,
        counters: CounterWriter,
        erasures: ErasureFollower,
        clock: Clock,
        *,
        types: EventTypes,
        limits: Limits,
    ) -> None:
        self._histories = histories
        self._counters = counters
        self._erasures = erasures
        self._clock = clock
        self._types = types
        self._limits = limits
        self._positions: dict[Partition, int | None] = {}
        self._erased = ErasedUsers()
        self._to_forget: dict[UserId, Erasure] = {}

    @property
    def positions(self) -> Mapping[Partition, int]:
        """The next offset of each partition; those without a known one are left out."""
        return {partition: offset for partition, offset in self._positions.items() if offset is not None}

    @property
    def has_lost_its_place(self) -> bool:
        """True when some partition's position is to be asked for: `rewinds` does."""
        return None in self._positions.values()

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Asks nothing here, where it would hold up the group."""
        self._positions |= dict.fromkeys(partitions)
        return {}

    def revoked(self, partitions: Sequence[Partition]) -> None:
        for partition in partitions:
            self._positions.pop(partition, None)

    def forget_new(self) -> None:
        """Forgets who asked since the last time; from then on `apply` passes over what they did until they asked.

        Raises FeatureStoreDown; may be repeated.
        """
        self._owe(self._erased.learn(self._erasures.take()))
        if self._to_forget:
            self._histories.forget(list(self._to_forget.values()))
            log.info("users_forgotten", num_users=len(self._to_forget))
            self._to_forget.clear()

    def rewinds(self) -> Mapping[Partition, int]:
        """Where to read on, for partitions whose fence lies before their position, or that have none yet.

        Where there are any, everybody who ever asked is forgotten again: what was set back may be a Redis that was
        restored, histories included. Raises FeatureStoreDown.
        """
        partitions = {shard_of(partition): partition for partition in self._positions}
        found: dict[Partition, int] = {}
        for shard, fence in self._counters.fences(list(partitions)).items():
            position = self._positions[partitions[shard]]
            if position is None or fence < position:
                found[partitions[shard]] = fence
                if position is not None:
                    log.info("fence_was_set_back", shard=shard, position=position, fence=fence)
        if found:
            self._owe(self._erased.all())
            self.forget_new()
        self._positions |= found
        return found

    def apply(self, records: Sequence[Record]) -> Mapping[Partition, int]:
        """Applies the events among the records; returns where to read again. Raises FeatureStoreDown; may be repeated.

        Histories come first: a crash between the two repeats them, and counters are fenced.
        """
        now_us = int(self._clock.now().timestamp() * 1_000_000)
        events: dict[Partition, list[tuple[int, Interaction]]] = defaultdict(list)
        known = [record for record in records if self._positions.get(record.partition) is not None]
        if not known:
            return {}  # read before the fences were known
        next_offsets = {record.partition: record.offset + 1 for record in known}

        def decoded() -> Iterator[Interaction]:
            """One by one: the store is at work on the first while the last are decoded."""
            for record in known:
                event = decode_event(record, self._types, self._limits, now_us)
                if isinstance(event, Interaction) and not self._erased.covers(event):
                    events[record.partition].append((record.offset, event))
                    yield event

        self._histories.apply(decoded())
        fences = self._counters.apply(
            [
                CounterBatch(shard_of(partition), self._positions[partition] or 0, next_offset, events[partition])
                for partition, next_offset in next_offsets.items()
            ]
        )
        found = {}
        for partition, next_offset in next_offsets.items():
            fence = fences[shard_of(partition)]
            self._positions[partition] = min(fence, next_offset)
            if fence < next_offset:
                found[partition] = fence
                log.info("fence_was_set_back", shard=shard_of(partition), position=next_offset, fence=fence)
        if found:
            self._owe(self._erased.all())  # as in `rewinds`, before these partitions are read again
        return found

    def _owe(self, wishes: Iterable[Erasure]) -> None:
        self._to_forget |= {wish.user_id: wish for wish in wishes}
