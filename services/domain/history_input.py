"""What of a user's history the model sees: the one definition that training and serving share (law 8)."""

from collections.abc import Sequence
from itertools import islice
from typing import Final, NamedTuple

import numpy as np
import numpy.typing as npt

from services.domain.interactions import HistoryEntry
from services.domain.vocabulary import Vocabulary

NUM_GAP_ROWS: Final = 32
"""Row 0: the first event. Row g: 2^(g-1) - 1 to below 2^g - 1 seconds after the event before it; the last is open."""


class HistoryRows(NamedTuple):
    """A history as a model reads it, oldest first: each int64 (length,), length <= max_history; all may be empty."""

    items: npt.NDArray[np.int64]
    """Item rows, from 1."""
    types: npt.NDArray[np.int64]
    """Event-type rows, from 1."""
    gaps: npt.NDArray[np.int64]
    """Gap rows: how long after the event before it, see `gap_rows`."""


def encoder_input(entries: Sequence[HistoryEntry], vocabulary: Vocabulary, max_history: int) -> HistoryRows:
    """The rows of a history.

    entries: oldest first, ordered by (event_time_us, event_id). Three steps, in this order: entries whose type the
    vocabulary lacks are left out; of the others the newest max_history stay; of these, items that it lacks are left
    out. All is empty for a user of whom the model knows nothing.

    The cut comes before the unknown items go, so the answer needs no more than the newest max_history entries of
    known types: a store that keeps at least these gives serving exactly what training reads from the whole log.
    """
    item_rows, event_type_rows = vocabulary.item_rows, vocabulary.event_type_rows
    items, types, times_us = list[int](), list[int](), list[int]()
    for entry in islice((each for each in reversed(entries) if each.event_type in event_type_rows), max_history):
        item_row = item_rows.get(entry.item_id)
        if item_row is not None:
            items.append(item_row)
            types.append(event_type_rows[entry.event_type].row(entry.value))
            times_us.append(entry.event_time_us)
    # Three short lists: numpy takes ten times as long for a list of tuples.
    columns = np.array((items[::-1], types[::-1], times_us[::-1]), dtype=np.int64)  # (3, length)
    return HistoryRows(columns[0], columns[1], gap_rows(columns[2]))


def gap_rows(times_us: npt.NDArray[np.int64]) -> npt.NDArray[np.int64]:
    """How long after the event before it each came, as rows on a scale of powers of two; int64 (length,).

    times_us: (length,) of one history, ascending. Half a second and half an hour differ more than two days that are an
    hour apart, hence the logarithm.
    """
    if len(times_us) == 0:
        return np.empty(0, np.int64)
    gaps_s = np.maximum(np.diff(times_us), 0) // 1_000_000
    rows = 1 + np.floor(np.log2(gaps_s + 1.0)).astype(np.int64)
    return np.concatenate(([0], np.minimum(rows, NUM_GAP_ROWS - 1)))
