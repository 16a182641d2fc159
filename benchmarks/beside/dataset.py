"""Shared events as the dataset that our kinds are fitted to: all to learn from, nothing held out."""

import numpy as np

from benchmarks.beside.events import Events
from services.domain.event_columns import EventColumns, Words
from services.domain.event_types import EventType, EventTypes, Role
from services.training.data.assembly import Part, Split, assemble
from services.training.data.dataset import Dataset

CHOSEN = "chosen"
START_US, HOUR_US = 1_700_000_000_000_000, 3_600_000_000
EVENT_TYPES = EventTypes([EventType(CHOSEN, Role.POSITIVE, 1.0)])


def dataset_of(events: Events) -> Dataset:
    """Item `n` has the id "item-n"; a user's events are an hour apart."""
    num = len(events)
    places = np.arange(num) - events.starts[events.users]
    columns = EventColumns(
        users=_words("user", events.users),
        items=_words("item", events.items),
        event_types=Words(np.zeros(num, np.int32), (CHOSEN,)),
        event_times_us=START_US + places * HOUR_US,
        values=np.full(num, np.nan),
    )
    split = Split(np.full(num, Part.FIT, np.int8), columns.event_times_us)
    return assemble(columns, EVENT_TYPES, split, {})


def codes_of(dataset: Dataset) -> "np.ndarray[tuple[int], np.dtype[np.int64]]":
    """(num_items,): the number that each item row has in the events."""
    return np.array([int(item_id.rpartition("-")[2]) for item_id in dataset.vocabulary.item_ids])


def _words(prefix: str, codes: "np.ndarray[tuple[int], np.dtype[np.int32]]") -> Words:
    present, rows = np.unique(codes, return_inverse=True)
    return Words(rows.astype(np.int32), [f"{prefix}-{code:07d}" for code in present.tolist()])
