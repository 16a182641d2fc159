"""The way in: records of the broker, the offline log, the dead letters."""

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from typing import Protocol

from services.domain.event_columns import EventColumns
from services.domain.event_selection import EVERYTHING, LoggedEvents, Selection
from services.domain.ids import EventId, UserId
from services.domain.streams import DeadLetter, LogBatch, Partition, Progress, Record


class EventLog(Protocol):
    """The offline log. Appends are atomic: rows and progress together or not at all."""

    def progress(self, partitions: Iterable[Partition]) -> Mapping[Partition, Progress]:
        """The stored progress; a partition never appended to is left out."""
        ...

    def append(self, batch: LogBatch) -> int:
        """Appends and returns the new version.

        Raises EventLogConflict when a partition's stored progress is not the one this instance last read or wrote, so
        that another writer owns it now; EventLogMoved when others, a writer or an import, stored events that neither
        `recent_ids` nor `ids_of_others` has told this instance of, so that one of these may be there already;
        EventLogDown when it cannot be written.
        """
        ...

    def recent_ids(
        self, window_us: int, max_ids: int | None = None
    ) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
        """Ids and event_times_us of the events at most `window_us` of event time behind the newest one, in batches.

        max_ids: when there are more, at least so many of the newest, and not many others; all when None.
        """
        ...

    def ids_of_others(self) -> Iterator[tuple[Sequence[EventId], Sequence[int]]]:
        """Those of the events that others stored since this instance last asked, in batches; some twice, or its own.

        For whoever has read `recent_ids`. What they were counts as known once the last batch was taken.
        """
        ...

    def version(self) -> int:
        """The newest version; -1 for a log that does not exist yet."""
        ...

    def num_events(self) -> int: ...

    def read(self, version: int, until_us: int | None = None) -> EventColumns:
        """All events of a pinned version before `until_us`; raises UnknownVersion for one that was cleaned up."""
        ...

    def scan(self, version: int, selection: Selection = EVERYTHING) -> Iterator[LoggedEvents]:
        """The selected events of a pinned version in time order, a bounded number at a time; raises as `read` does."""
        ...

    def stream(self, version: int, selection: Selection = EVERYTHING) -> Iterator[EventColumns]:
        """The selected events of a pinned version in no order, a bounded number at a time; raises as `read` does.

        For what only counts them: nothing is sorted, so it is faster than `scan` and holds less. A word that is not
        there is empty.
        """
        ...

    def newest_time_us(self, version: int, until_us: int | None = None) -> int | None:
        """The newest event time of a pinned version before `until_us`; None without events. Raises as `read` does."""
        ...


class EventsByOffset(Protocol):
    """The offline log in the order of its topic. Blocks; raises EventLogDown."""

    def version(self) -> int:
        """The newest version; -1 for a log that does not exist yet."""
        ...

    def num_events(self, version: int) -> int:
        """Of that version; 0 for -1, the log that does not exist yet."""
        ...

    def next_offsets(self, version: int, topic: str) -> Mapping[Partition, int]:
        """How far this version holds each partition of the topic that it has ever stored."""
        ...

    def users_since(self, version: int, since_us: int) -> Collection[UserId]:
        """Who did anything at that moment or later; held in memory."""
        ...

    def read(self, version: int, partition: Partition, from_offset: int, next_offset: int) -> Iterator[LoggedEvents]:
        """The partition's events in the order of their offsets, from one up to, not including, the other."""
        ...

    def read_others(self, version: int, topic: str) -> Iterator[LoggedEvents]:
        """The events that came from a file or another topic, the same order each time."""
        ...


class RecordSource(Protocol):
    """Records of one consumer group. Partitions come and go; `start` says where a new one is read from."""

    def poll(self, timeout_s: float) -> Sequence[Record]:
        """The next records, in order within a partition; may call the listener it was built with before it returns."""
        ...

    def seek(self, offsets: Mapping[Partition, int]) -> None:
        """Reads on from there; partitions that are not this member's are passed over."""
        ...

    def pause(self) -> None:
        """From now on polls return nothing, of partitions that come later neither; the membership goes on."""
        ...

    def resume(self) -> None:
        """Ends a pause; nothing was lost meanwhile."""
        ...

    def commit(self, offsets: Mapping[Partition, int]) -> None:
        """Tells the brokers how far this group is, for the lag others see; best effort."""
        ...

    def close(self) -> None: ...


class PartitionListener(Protocol):
    """What a RecordSource tells its user when partitions come and go, while that user waits in `poll`.

    Must be quick: the group hears nothing of this member meanwhile.
    """

    def assigned(self, partitions: Sequence[Partition]) -> Mapping[Partition, int]:
        """Returns the offsets to read on from; a partition left out goes on from the group's committed offset."""
        ...

    def revoked(self, partitions: Sequence[Partition]) -> None: ...


class DeadLetters(Protocol):
    def send(self, letters: Sequence[DeadLetter]) -> None:
        """Blocks until the letters are stored; raises BrokerDown when they cannot be."""
        ...
