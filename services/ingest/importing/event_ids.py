"""Ids for events of a file that has none: the same content gives the same id, in whichever file and place it stands.

So importing a file again, or a longer edition of it, changes nothing. Two rows alike in every mapped field are one
event: a file that means two must tell them apart by an id, a session, or a finer time.
"""

from collections.abc import Sequence
from hashlib import blake2b
from typing import Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.importing.conforming import ATTRIBUTES, Fields
from services.ingest.importing.mapping import FIELDS

PREFIX: Final = "row-"
DIGEST_BYTES: Final = 16

_HASHED: Final = tuple(sorted(set(FIELDS) - {"event_id"}))


def with_event_ids(fields: Fields) -> Fields:
    """The fields, every row without an event_id given one: PREFIX and the BLAKE2b of its other fields, hexadecimal."""
    given = fields.typed.get("event_id", pa.nulls(fields.num_rows, pa.string()))
    if given.null_count == 0:
        return fields
    lacking = pc.is_null(given)
    typed = {**fields.typed, "event_id": pc.replace_with_mask(given, lacking, _ids_of(fields, lacking))}
    return Fields(fields.num_rows, typed, fields.raw, fields.unfit)


def _ids_of(fields: Fields, lacking: pa.Array) -> pa.Array:
    columns = [_values(fields, name, lacking) for name in _HASHED]
    encode = msgspec.json.Encoder().encode
    return pa.array(
        [f"{PREFIX}{blake2b(encode(row), digest_size=DIGEST_BYTES).hexdigest()}" for row in zip(*columns, strict=True)],
        pa.string(),
    )


def _values(fields: Fields, name: str, lacking: pa.Array) -> Sequence[object]:
    array = fields.typed.get(name)
    if array is None:
        return [None] * pc.sum(lacking).as_py()
    values: list[object] = array.filter(lacking).to_pylist()
    if array.type == ATTRIBUTES:
        return [sorted(pairs) if pairs else None for pairs in values]  # type: ignore[call-overload]
    return values
