"""What operating the way in asks: how far everybody is, what a topic holds, and what was sent again."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from datetime import datetime
from typing import Protocol

from services.domain.dead_letters import Replay
from services.domain.log_history import LogState
from services.domain.stored_records import OffsetRange, Position, StoredRecord
from services.domain.streams import Partition, Record


class StreamCluster(Protocol):
    """The brokers, as an operator asks them. Methods block; they raise BrokerDown."""

    def partitions(self, topics: Collection[str]) -> Mapping[str, Sequence[Partition]]:
        """Each topic's partitions in order; a topic that does not exist is left out."""
        ...

    def ranges(self, partitions: Iterable[Partition]) -> Mapping[Partition, OffsetRange]:
        """The offsets each partition still holds."""
        ...

    def offsets_at(self, time_us: int, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """The first offset whose record is of this time or later; the partition's end when none is."""
        ...

    def committed(self, group: str, partitions: Iterable[Partition]) -> Mapping[Partition, int]:
        """A group's committed offsets; a partition it never committed is left out."""
        ...

    def num_members(self, groups: Collection[str]) -> Mapping[str, int]:
        """How many consumers each group has now; 0 for a group that does not exist."""
        ...

    def delete_before(self, offsets: Mapping[Partition, int]) -> None:
        """Deletes every record before these offsets, for good. Raises InvalidRequest for a compacted topic."""
        ...


class TopicReader(Protocol):
    """Reads records without a consumer group, so that nobody's progress changes. Raises BrokerDown."""

    def read(self, ranges: Mapping[Partition, OffsetRange]) -> Iterator[StoredRecord]:
        """Every record still there in these ranges, in order within a partition; ends where they end."""
        ...

    def follow(self, offsets: Mapping[Partition, int], wait_s: float) -> Iterator[Sequence[StoredRecord]]:
        """Records from these offsets on, without end; an empty turn whenever none came for `wait_s`."""
        ...


class RecordSender(Protocol):
    """Sends records as they are. Methods block; they raise BrokerDown."""

    def place(self, topic: str, key: bytes) -> Partition:
        """The partition every producer would choose for this key."""
        ...

    def send(self, records: Sequence[tuple[Record, Mapping[str, bytes]]], within_s: float) -> int:
        """Sends each record to its own partition, with these headers besides its content type; its offset is unused.

        A record without a time of its own gets the present one. No record arrives once `within_s` is over: those that
        could are not begun. Blocks until the others are stored and returns how many, from the first on. After
        BrokerDown it is open which of them are.
        """
        ...


class LogHistory(Protocol):
    """The log's state now and then. Methods block."""

    def now(self, partitions: Iterable[Partition]) -> LogState | None:
        """The newest state; None for a log that does not exist yet. Raises EventLogDown."""
        ...

    def before(self, moment: datetime, partitions: Iterable[Partition]) -> LogState | None:
        """The newest state committed at or before the moment; None when there is none, or it was forgotten."""
        ...


class ReplayMemory(Protocol):
    """Which dead records were sent again. Methods block; they raise CatalogDown."""

    def recall(self, sources: Collection[Position]) -> Mapping[Position, Replay]:
        """What is remembered of these; one never sent is left out."""
        ...

    def claim(self, replays: Sequence[Replay], stale: Mapping[Position, Replay]) -> frozenset[Position]:
        """Remembers that these are about to be sent; returns the sources this caller may send now.

        stale: earlier claims to take over, as they were recalled. A source that another caller claimed or settled
        meanwhile is not among those returned.
        """
        ...

    def settle(self, sources: Collection[Position]) -> None:
        """Remembers for good that these were sent."""
        ...
