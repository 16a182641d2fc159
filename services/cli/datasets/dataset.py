"""The common shape of every sample data set."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

from services.domain.interactions import Interaction
from services.domain.items import Item


@dataclass(frozen=True, slots=True)
class Dataset:
    """events: ordered by (event_time, event_id), the last one at `now`; their ids depend on the data alone.

    An id that comes again counts once only while the writers remember it: for `ingest.dedupe_window_s` behind the
    newest event_time. So a set sent again, with times moved on, counts its older events a second time.
    """

    name: str
    events: Sequence[Interaction]
    items: Sequence[Item]


def microseconds(moment: datetime) -> int:
    """An aware moment as microseconds since the epoch."""
    return round(moment.timestamp() * 1_000_000)
