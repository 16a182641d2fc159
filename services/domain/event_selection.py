"""Which events of the log somebody wants to read, and what is read."""

from collections.abc import Sequence
from dataclasses import dataclass

from services.domain.ids import UserId
from services.domain.interactions import Interaction
from services.domain.streams import Partition


@dataclass(frozen=True, slots=True)
class Selection:
    """A range of event time and words to hold events to; what is left out selects everything.

    `since_us` is inclusive, `until_us` exclusive, microseconds since the epoch: until is an as-of moment (law 8).
    """

    since_us: int | None = None
    until_us: int | None = None
    event_types: frozenset[str] | None = None
    user_ids: frozenset[UserId] | None = None


EVERYTHING = Selection()


@dataclass(frozen=True, slots=True)
class LoggedEvents:
    """Some events of the log, in time order, ties by event id."""

    interactions: Sequence[Interaction]
    sources: Sequence[tuple[Partition, int] | None]
    """Partition and offset of each; None for one from elsewhere, such as a file."""
