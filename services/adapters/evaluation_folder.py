"""Data sets in a folder of Parquet files: `events.parquet`, and `items.parquet` where something is known of the items.

Events need the columns user_id, item_id and timestamp (seconds, or an event's place in its user's history). `pos` is
the order of a user's events, else it is the timestamp with ties as stored; `split` says which events are `test`. Of the
items every other column is content: lists of ids, words separated by `|` or spaces, numbers by their order of size.
"""

import math
import re
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
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
LATEST_S: Final = 10**11  # the year 5138: what is larger is no seconds, and would not fit into microseconds
_WORD: Final = re.compile(r"\w+")


def read_folder(folder: Path) -> EvaluationData:
    """Everything in the folder; raises BadData, saying which file and column is wrong and what to do."""
    path = folder / EVENTS
    if not path.is_file():
        raise BadData(f"{folder} holds no {EVENTS}; name a folder with one: user_id, item_id and timestamp.")
    table = _table(path, ("user_id", "item_id", "timestamp"), ("pos", "split"))
    if len(table) == 0:
        raise BadData(f"{path} holds no events; fill it with rows of user_id, item_id and timestamp.")
    users, items, times_s = _words(table, "user_id", path), _words(table, "item_id", path), _times_s(table, path)
    place = _ints(table, "pos", path) if "pos" in table.column_names else times_s
    order = np.lexsort((np.arange(len(table)), place, users.codes))
    return EvaluationData(
        users=_reordered(users, order),
        items=_reordered(items, order),
        times_s=times_s[order],
        is_test=_is_test(table)[order] if "split" in table.column_names else None,
        features=_features(folder / ITEMS),
    )


def _table(path: Path, needed: Sequence[str], others: Sequence[str] | None = None) -> pa.Table:
    """These columns; others None: all."""
    try:
        has = pq.read_schema(path).names
        missing = [name for name in needed if name not in has]
        if missing:
            raise BadData(f"{path} lacks the column {missing[0]}, it has {', '.join(has)}; rename or add it.")
        return pq.read_table(path, columns=None if others is None else [*needed, *(set(others) & set(has))])
    except (OSError, pa.ArrowException) as error:
        raise BadData(f"{path} cannot be read as Parquet ({error}); write it again.") from error


def _ints(table: pa.Table, name: str, path: Path) -> npt.NDArray[np.int64]:
    column = table[name]
    if column.null_count or not pa.types.is_integer(column.type):
        raise BadData(
            f"The column {name} of {path} must hold whole numbers, without gaps; it is {column.type} with "
            f"{column.null_count} gaps."
        )
    try:
        numbers: npt.NDArray[np.int64] = column.cast(pa.int64()).to_numpy()
    except pa.ArrowInvalid as error:
        raise BadData(f"The column {name} of {path} must fit into 64 bits with a sign: {error}.") from error
    return numbers


def _times_s(table: pa.Table, path: Path) -> npt.NDArray[np.int64]:
    times_s = _ints(table, "timestamp", path)
    low, high = int(times_s.min()), int(times_s.max())
    if low < 0 or high >= LATEST_S:
        raise BadData(
            f"The column timestamp of {path} must be seconds since 1970, or places from 0; it holds "
            f"{low if low < 0 else high}. Divide milliseconds by 1,000."
        )
    return times_s


def _words(table: pa.Table, name: str, path: Path) -> Words:
    """The column as ids; whole numbers and text alike, since what is 7 in one file may be "7" in the other."""
    column = table[name]
    if column.null_count:
        raise BadData(f"The column {name} of {path} has {column.null_count} rows without a value; leave those out.")
    kind = column.type.value_type if pa.types.is_dictionary(column.type) else column.type
    if not (pa.types.is_integer(kind) or pa.types.is_string(kind) or pa.types.is_large_string(kind)):
        raise BadData(f"The column {name} of {path} must hold whole numbers or text, not {kind}; convert the ids.")
    encoded = column.cast(pa.large_string()).dictionary_encode().combine_chunks()
    return Words(encoded.indices.to_numpy(zero_copy_only=False).astype(np.int32), encoded.dictionary.to_pylist())


def _reordered(words: Words, order: npt.NDArray[np.int64]) -> Words:
    """The rows in another order, and the words in order of appearance."""
    codes = words.codes[order]
    _, first, numbers = np.unique(codes, return_index=True, return_inverse=True)
    by_appearance = np.argsort(first)  # of each new number the old one
    renumbered = np.empty(len(first), np.int32)
    renumbered[by_appearance] = np.arange(len(first))
    return Words(renumbered[numbers], [words.words[code] for code in by_appearance.tolist()])


def _is_test(table: pa.Table) -> npt.NDArray[np.bool_]:
    """A row without a value is none of the test."""
    says = pc.fill_null(pc.equal(table["split"].cast(pa.large_string()), TEST), False)
    flags: npt.NDArray[np.bool_] = says.to_numpy().astype(np.bool_)
    return flags


def _features(path: Path) -> Mapping[ItemId, tuple[str, ...]]:
    if not path.is_file():
        return {}
    table = _table(path, ("item_id",))
    item_ids = [ItemId(item_id) for item_id in _words(table, "item_id", path).spelled()]
    for item_id, times in Counter(item_ids).most_common(1):
        if times > 1:
            raise BadData(f"{path} names item {item_id[:100]} {times} times; keep one row for each item.")
    columns = {name: table[name].to_pylist() for name in table.column_names if name != "item_id"}
    return {
        item_id: tuple(feature for name, values in columns.items() for feature in _of_value(name, values[place]))
        for place, item_id in enumerate(item_ids)
    }


def _of_value(name: str, value: Any) -> Iterator[str]:
    """The features that one cell says, each with its column's name before it; of nothing, NaN and infinity none."""
    if isinstance(value, list):
        for part in value:
            if part is not None:
                yield from _of_value(name, part if isinstance(part, str) else str(part))
    elif isinstance(value, str):
        parts = [part.strip() for part in value.split("|")] if "|" in value else _WORD.findall(value.lower())
        yield from (f"{name}={part}" for part in parts if part)
    elif isinstance(value, int | float) and math.isfinite(value):
        # Half as large again is another feature: what costs alike is alike.
        yield f"{name}~{round(math.log(abs(value) + 1e-9, 1.5))}"
