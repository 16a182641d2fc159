"""Dead letters as an operator meets them: where the record came from, why it died, and whether it was sent again."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum

from services.domain.stored_records import Position

DEAD_LETTER_SUFFIX = ".dlq"


@dataclass(frozen=True, slots=True)
class StoredLetter:
    """A dead letter as read back from its topic. What it does not say itself is empty or None."""

    position: Position
    time_us: int
    """When the letter was written."""
    source: Position | None
    """Where the record was; None for a record that no writer of Nightjar put here."""
    reason: str
    detail: str
    key: bytes | None
    value: bytes | None
    content_type: str
    full_size_bytes: int | None = None
    """How large the record was, when it was cut to fit; None for one that is whole."""
    headers: Mapping[str, bytes] = field(default_factory=dict)

    @property
    def source_topic(self) -> str:
        """The topic whose dead letters these are."""
        return self.position.partition.topic.removesuffix(DEAD_LETTER_SUFFIX)


class ReplayState(StrEnum):
    """SENDING: it was about to be sent, and whether it was is open. SENT: a broker has it."""

    SENDING = "sending"
    SENT = "sent"


@dataclass(frozen=True, slots=True)
class Replay:
    """The memory of one record that was sent again, by where it first was.

    Keyed by the source and not by the letter: a writer that crashed may have written two letters of one record.
    """

    source: Position
    target: Position
    """Its partition, and that partition's end just before the sending: at or after it the record is, if it is."""
    claim_time: datetime
    state: ReplayState = ReplayState.SENDING
