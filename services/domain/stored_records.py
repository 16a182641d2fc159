"""Records as a broker keeps them: which offsets it still has, and a record with its headers and time."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.domain.streams import Partition, Record


@dataclass(frozen=True, slots=True)
class OffsetRange:
    """The offsets from `first` (inclusive) to `end` (exclusive)."""

    first: int
    end: int

    def __len__(self) -> int:
        return max(self.end - self.first, 0)


@dataclass(frozen=True, slots=True, order=True)
class Position:
    """One record's place: a partition and an offset. Written `topic/partition/offset`."""

    partition: Partition
    offset: int

    def __str__(self) -> str:
        return f"{self.partition.topic}/{self.partition.number}/{self.offset}"


@dataclass(frozen=True, slots=True)
class StoredRecord:
    """A record as read back; of headers with one name the last is kept."""

    record: Record
    headers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def position(self) -> Position:
        return Position(self.record.partition, self.record.offset)


def parse_position(text: str) -> Position | None:
    """The place that `topic/partition/offset` names; None when the text is none."""
    topic, _, rest = text.rpartition("/")
    topic, _, number = topic.rpartition("/")
    if not topic or not (number.isascii() and number.isdigit() and rest.isascii() and rest.isdigit()):
        return None
    return Position(Partition(topic, int(number)), int(rest))
