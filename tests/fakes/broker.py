"""Brokers in memory: topics of stored records, as an operator asks, reads and sends to them."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import replace

from services.domain.dead_letters import Replay, ReplayState
from services.domain.stored_records import OffsetRange, Position, StoredRecord
from services.domain.streams import Partition, Record


class FakeBroker:
    """Fulfils StreamCluster, TopicReader and RecordSender. A record without a time is of time 0."""

    def __init__(self, partitions: Iterable[Partition]) -> None:
        self._records: dict[Partition, list[StoredRecord]] = {partition: [] for partition in partitions}
        self._first = dict.fromkeys(self._records, 0)
        self.committed_offsets: dict[str, dict[Partition, int]] = {}
        self.members: dict[str, int] = {}
        self.record_s = 0.0
        """How long one record takes to be sent."""

    def append(self, record: Record, headers: Mapping[str, bytes] | None = None) -> Position:
        kept = self._records[record.partition]
        stored = record._replace(offset=len(kept), timestamp_us=record.timestamp_us or 0)
        kept.append(StoredRecord(stored, dict(headers or {})))
        return kept[-1].position

    def partitions(self, topics: Collection[str]) -> Mapping[str, Sequence[Partition]]:
        found = {topic: sorted(each for each in self._records if each.topic == topic) for topic in topics}
        return {topic: partitions for topic, partitions in found.items() if partitions}

    def ranges(self, partitions: Iterable[Partition]) -> Mapping[Partition, OffsetRange]:
        return {each: OffsetRange(self._first[each], len(self._records[each])) for each in partitions}

    def offsets_at(self, time_us: int, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        return {
            each: next(
                (
                    stored.record.offset
                    for stored in self._records[each]
                    if (stored.record.timestamp_us or 0) >= time_us
                ),
                len(self._records[each]),
            )
            for each in partitions
        }

    def committed(self, group: str, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        known = self.committed_offsets.get(group, {})
        return {each: known[each] for each in partitions if each in known}

    def num_members(self, groups: Collection[str]) -> Mapping[str, int]:
        return {group: self.members.get(group, 0) for group in groups}

    def delete_before(self, offsets: Mapping[Partition, int]) -> None:
        self._first |= {each: max(offset, self._first[each]) for each, offset in offsets.items()}

    def read(self, ranges: Mapping[Partition, OffsetRange]) -> Iterator[StoredRecord]:
        for partition, wanted in ranges.items():
            yield from self._records[partition][max(wanted.first, self._first[partition]) : wanted.end]

    def follow(self, offsets: Mapping[Partition, int], wait_s: float) -> Iterator[Sequence[StoredRecord]]:
        at = dict(offsets)
        while True:
            records = [each for partition in at for each in self._records[partition][at[partition] :]]
            at = {partition: len(self._records[partition]) for partition in at}
            yield records

    def place(self, topic: str, key: bytes) -> Partition:
        partitions = self.partitions([topic])[topic]
        return partitions[sum(key) % len(partitions)]

    def send(self, records: Sequence[tuple[Record, Mapping[str, bytes]]], within_s: float) -> int:
        in_time = [each for number, each in enumerate(records) if number * self.record_s < within_s]
        for record, headers in in_time:
            self.append(record, headers)
        return len(in_time)

    def close(self) -> None: ...


class FakeReplayMemory:
    def __init__(self) -> None:
        self._replays: dict[Position, Replay] = {}

    def recall(self, sources: Collection[Position]) -> Mapping[Position, Replay]:
        return {each: self._replays[each] for each in sources if each in self._replays}

    def claim(self, replays: Sequence[Replay], stale: Mapping[Position, Replay]) -> frozenset[Position]:
        mine = {each.source: each for each in replays if self._replays.get(each.source) == stale.get(each.source)}
        self._replays |= mine
        return frozenset(mine)

    def settle(self, sources: Collection[Position]) -> None:
        self._replays |= {each: replace(self._replays[each], state=ReplayState.SENT) for each in sources}
