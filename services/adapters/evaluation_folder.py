"""Data sets in a folder of Parquet files: `events.parquet`, and `items.parquet` where something is known of the items.

Events need the columns user_id, item_id and timestamp (seconds, or an event's place in its user's history). `pos` is
the order of a user's events, else it is the timestamp with ties as stored; `split` says which events are `test`. Of the
items every other column is content: lists of ids, words separated by `|` or spaces, numbers by their order of size.
"""

import math
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from services.domain.errors import BadData
from services.domain.evaluation_data import EvaluationData
from services.domain.event_columns import Words
from services.domain.ids import ItemId

EVENTS: Final = "events.parquet"
ITEMS: Final = "items.parquet"
TEST: Final = "test"
_WORD: Final = re.compile(r"\w+")


def read_folder(folder: Path) -> EvaluationData:
    """Everything in the folder; raises BadData, saying which file and column is wrong."""
    table = _table(folder / EVENTS, ("user_id", "item_id", "timestamp"))
    if len(table) == 0:
        raise BadData(f"{folder / EVENTS} holds no events.")
    times_s = _ints(table, "timestamp", folder)
    users = _words(table, "user_id")
    place = _ints(table, "pos", folder) if "pos" in table.column_names else times_s
    order = np.lexsort((np.arange(len(table)), place, users.codes))
    in_order = table.take(pa.array(order))
    is_test = in_order["split"].cast(pa.string()) if "split" in table.column_names else None
    return EvaluationData(
        users=_words(in_order, "user_id"),
        items=_words(in_order, "item_id"),
        times_s=times_s[order],
        is_test=None if is_test is None else pc.equal(is_test, TEST).to_numpy(zero_copy_only=False).astype(np.bool_),
        features=_features(folder / ITEMS),
    )


def _table(path: Path, needed: tuple[str, ...]) -> pa.Table:
    try:
        table = pq.read_table(path)
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"{path} cannot be read: {error}") from error
    missing = [name for name in needed if name not in table.column_names]
    if missing:
        raise BadData(f"{path} lacks the column {missing[0]}; it has {', '.join(table.column_names)}.")
    return table


def _ints(table: pa.Table, name: str, folder: Path) -> npt.NDArray[np.int64]:
    column = table[name]
    if column.null_count or not pa.types.is_integer(column.type):
        raise BadData(f"The column {name} of {folder / EVENTS} must hold whole numbers, without gaps.")
    numbers: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    return numbers


def _words(table: pa.Table, name: str) -> Words:
    column = table[name]
    if column.null_count:
        raise BadData(f"The column {name} has {column.null_count} rows without a value.")
    encoded = column.cast(pa.string()).dictionary_encode().combine_chunks()
    return Words(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32), encoded.dictionary.to_pylist())


def _features(path: Path) -> Mapping[ItemId, tuple[str, ...]]:
    if not path.is_file():
        return {}
    table = _table(path, ("item_id",))
    item_ids = [ItemId(str(item_id)) for item_id in table["item_id"].to_pylist()]
    if len(set(item_ids)) != len(item_ids):
        twice = next(item_id for item_id in item_ids if item_ids.count(item_id) > 1)
        raise BadData(f"{path} names item {twice} more than once; keep one row for each item.")
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "item_id"}
    return {
        item_id: tuple(feature for name, values in columns.items() for feature in _of_value(name, values[place]))
        for place, item_id in enumerate(item_ids)
    }


def _of_value(name: str, value: Any) -> Iterator[str]:
    """The features that one cell says, each with its column's name before it."""
    if isinstance(value, list):
        for part in value:
            yield from _of_value(name, part if isinstance(part, str) else str(part))
    elif isinstance(value, str):
        parts = value.split("|") if "|" in value else _WORD.findall(value.lower())
        yield from (f"{name}={part}" for part in parts)
    elif isinstance(value, int | float) and math.isfinite(value):
        # Half as large again is another feature: what costs alike is alike.
        yield f"{name}~{round(math.log(abs(value) + 1e-9, 1.5))}"
