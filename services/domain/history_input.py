"""What of a user's history the model sees: the one definition that training and serving share (law 8)."""

from collections.abc import Sequence
from itertools import islice

import numpy as np
import numpy.typing as npt

from services.domain.interactions import HistoryEntry
from services.domain.vocabulary import Vocabulary


def encoder_input(
    entries: Sequence[HistoryEntry], vocabulary: Vocabulary, max_history: int
) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """The item rows and event-type rows of a history, both int64 (length,), oldest first, length <= max_history.

    entries: oldest first, ordered by (event_time_us, event_id). Three steps, in this order: entries whose type the
    vocabulary lacks are left out; of the others the newest max_history stay; of these, items that it lacks are left
    out. Both results are empty for a user of whom the model knows nothing.

    The cut comes before the unknown items go, so the answer needs no more than the newest max_history entries of
    known types: a store that keeps at least these gives serving exactly what training reads from the whole log.
    """
    item_rows, event_type_rows = vocabulary.item_rows, vocabulary.event_type_rows
    newest = islice((entry for entry in reversed(entries) if entry.event_type in event_type_rows), max_history)
    rows = [
        (item_rows[entry.item_id], event_type_rows[entry.event_type].row(entry.value))
        for entry in newest
        if entry.item_id in item_rows
    ]
    pairs = np.array(rows[::-1], dtype=np.int64).reshape(-1, 2)  # (length, 2)
    return np.ascontiguousarray(pairs[:, 0]), np.ascontiguousarray(pairs[:, 1])
