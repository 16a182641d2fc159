"""Ids for events of a file that has none: the same content gives the same id, in whichever file and place it stands.

So importing a file again, or a longer edition of it, changes nothing. Two rows alike in every mapped field are one
event: a file that means two must tell them apart by an id, a session, or a finer time.
"""

from hashlib import blake2b
from typing import Any, Final

import msgspec
import pyarrow as pa
import pyarrow.compute as pc

from services.ingest.importing.conforming import ATTRIBUTES, Fields
from services.ingest.importing.mapping import FIELDS

PREFIX: Final = "row-"
DIGEST_BYTES: Final = 16

_DIGESTED: Final = tuple(sorted(set(FIELDS) - {"event_id"}))
_NO_VALUES: Final = (None, "")


def with_event_ids(fields: Fields) -> Fields:
    """The fields, every row without an event_id given one: PREFIX and the BLAKE2b of its other fields, hexadecimal.

    Digested is the JSON object of the fields that have a value, so that a field the contract gains changes no old id.
    """
    given = fields.typed.get("event_id", pa.nulls(fields.num_rows, pa.string()))
    if given.null_count == 0:
        return fields
    lacking = pc.is_null(given)
    typed = {**fields.typed, "event_id": pc.replace_with_mask(given, lacking, _ids_of(fields, lacking))}
    return Fields(fields.num_rows, typed, fields.raw, fields.unfit)


def _ids_of(fields: Fields, lacking: pa.Array) -> pa.Array:
    present = [name for name in _DIGESTED if name in fields.typed]
    columns = [_values(fields.typed[name].filter(lacking)) for name in present]
    encode = msgspec.json.Encoder().encode
    ids = []
    for row in zip(*columns, strict=True):
        content = encode({name: value for name, value in zip(present, row, strict=True) if value not in _NO_VALUES})
        ids.append(f"{PREFIX}{blake2b(content, digest_size=DIGEST_BYTES).hexdigest()}")
    return pa.array(ids, pa.string())


def _values(array: pa.Array) -> list[Any]:
    values: list[Any] = array.to_pylist()
    return [sorted(pairs) if pairs else None for pairs in values] if array.type == ATTRIBUTES else values
