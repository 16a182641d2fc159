"""The log as columns for training: streamed, so that what is held is numbers and each word once."""

from collections.abc import Iterable
from typing import Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from services.domain.event_columns import EventColumns, Words

COLUMNS_READ: Final = ("event_time", "user_id", "item_id", "event_type", "value")


def to_columns(ordered: Iterable[pa.RecordBatch]) -> EventColumns:
    """Batches with COLUMNS_READ in the log's order as columns of the domain: 28 bytes an event and the words."""
    users, items, types = _Numbering(), _Numbering(), _Numbering()
    times_us: list[npt.NDArray[np.int64]] = []
    values: list[npt.NDArray[np.float64]] = []
    for batch in ordered:
        users.add(batch["user_id"])
        items.add(batch["item_id"])
        types.add(batch["event_type"])
        times_us.append(batch["event_time"].cast(pa.int64()).to_numpy())
        values.append(batch["value"].to_numpy(zero_copy_only=False))
    return EventColumns(
        users=users.words(),
        items=items.words(),
        event_types=types.words(),
        event_times_us=np.concatenate(times_us) if times_us else np.empty(0, np.int64),
        values=np.concatenate(values) if values else np.empty(0, np.float64),
    )


class _Numbering:
    """Numbers words across batches: Arrow finds the different ones of a batch, Python sees only those."""

    def __init__(self) -> None:
        self._numbers: dict[str, int] = {}
        self._codes: list[npt.NDArray[np.int32]] = []

    def add(self, column: pa.Array) -> None:
        encoded = column.cast(pa.string()).dictionary_encode()
        numbers = self._numbers
        of_batch = [numbers.setdefault(word, len(numbers)) for word in encoded.dictionary.to_pylist()]
        indices = encoded.indices.to_numpy(zero_copy_only=False)
        self._codes.append(np.array(of_batch, np.int32)[indices] if of_batch else np.empty(0, np.int32))

    def words(self) -> Words:
        return Words(np.concatenate(self._codes) if self._codes else np.empty(0, np.int32), tuple(self._numbers))
