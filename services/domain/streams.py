"""Records as they come from a topic, and what becomes of each: a row, a duplicate, or a dead letter."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import NamedTuple

from services.domain.interactions import Interaction


class Partition(NamedTuple):
    topic: str
    number: int


class Record(NamedTuple):
    """One record as read; `content_type` is its header, empty when it has none.

    A tuple, as Interaction is, since one is made for each record: a frozen dataclass takes four times as long.
    """

    partition: Partition
    offset: int
    value: bytes | None
    content_type: str = ""
    key: bytes | None = None
    timestamp_us: int | None = None
    """When its producer, or the broker, says it was written; None when nobody does."""


class DeadReason(StrEnum):
    """Why a record is dead; the stable word in the dead letter's `reason` header."""

    MALFORMED = "malformed"
    OVERSIZED = "oversized"
    UNSUPPORTED_CONTENT_TYPE = "unsupported_content_type"
    INVALID_FIELD = "invalid_field"
    UNKNOWN_TYPE = "unknown_type"
    FUTURE_TIME = "future_time"


@dataclass(frozen=True, slots=True)
class DeadLetter:
    record: Record
    reason: DeadReason
    detail: str


@dataclass(frozen=True, slots=True)
class Counts:
    """What became of the records read so far. Law 1: read = logged + dead + duplicate."""

    read: int = 0
    logged: int = 0
    dead: int = 0
    duplicate: int = 0

    def __add__(self, other: "Counts") -> "Counts":
        return Counts(
            self.read + other.read,
            self.logged + other.logged,
            self.dead + other.dead,
            self.duplicate + other.duplicate,
        )


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a partition is stored: where to read on, and what became of all before."""

    next_offset: int
    counts: Counts
    watermark_us: int | None = None
    """The newest event_time_us among its logged events; None before the first."""


@dataclass(frozen=True, slots=True)
class LogBatch:
    """Rows to append, and each partition's progress once they are: one atomic step."""

    interactions: Sequence[Interaction]
    progress: Mapping[Partition, Progress] = field(default_factory=dict)
    sources: Sequence[tuple[Partition, Sequence[int]]] = ()
    """Where the interactions came from, in their order: partitions, and the offsets of those that are of each.

    Empty for those that came from elsewhere, such as a file.
    """
