"""Which rows are events: a quick check over whole columns, and the stream's codec for every row it is not sure of.

The quick check accepts only what the codec accepts, with the same values; a property test holds the two together. The
codec alone refuses.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from services.domain.event_types import EventTypes
from services.domain.ids import MAX_ID_BYTES
from services.domain.interactions import Interaction
from services.domain.streams import DeadLetter, DeadReason, Partition, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.codec.records import END_OF_TIME_US, MAX_ATTRIBUTE_BYTES, MAX_ATTRIBUTES, MAX_WORD_BYTES
from services.ingest.importing.conforming import Fields
from services.ingest.importing.documents import CONTENT_TYPE, document

IDS: Final = ("event_id", "user_id", "item_id")
WORDS: Final = ("session_id", "request_id", "surface")
_MAX_POSITION: Final = 2**32 - 1
# The most that a record's JSON takes besides its attributes: no byte needs more than six, and the rest is punctuation.
_MAX_PLAIN_BYTES: Final = 6 * (len(IDS) * MAX_ID_BYTES + (len(WORDS) + 1) * MAX_WORD_BYTES) + 1_024

_Mask: TypeAlias = npt.NDArray[np.bool_]


@dataclass(frozen=True, slots=True)
class BadRow:
    place: int
    reason: DeadReason
    detail: str


@dataclass(frozen=True, slots=True)
class Judged:
    """plain: rows that the quick check accepted. others: what the codec made of the rest, by their places."""

    plain: _Mask
    others: Sequence[tuple[int, Interaction]]
    bad: Sequence[BadRow]


def judge(fields: Fields, skip: _Mask, types: EventTypes, limits: Limits, now_us: int) -> Judged:
    """The verdict on every row but those to skip, as if each had come over the stream now."""
    plain = plainly_events(fields, types, limits, now_us) & ~skip
    others: list[tuple[int, Interaction]] = []
    bad: list[BadRow] = []
    for place in np.flatnonzero(~plain & ~skip).tolist():
        record = Record(Partition("import", 0), place, document(fields, place), CONTENT_TYPE)
        verdict = decode_event(record, types, limits, now_us)
        if isinstance(verdict, DeadLetter):
            bad.append(BadRow(place, verdict.reason, verdict.detail))
        else:
            others.append((place, verdict))
    return Judged(plain, others, bad)


def plainly_events(fields: Fields, types: EventTypes, limits: Limits, now_us: int) -> _Mask:
    """Rows that the codec surely accepts as they stand."""
    good = ~fields.unfit
    for name in IDS:
        good &= _good_ids(fields.typed.get(name), fields.num_rows)
    good &= _among(fields.typed.get("type"), types.names(), fields.num_rows)
    for name in WORDS:
        if name in fields.typed:
            good &= _true(pc.less_equal(pc.binary_length(fields.typed[name]), MAX_WORD_BYTES), when_null=True)
    times = fields.typed.get("event_time")
    if times is None:
        return np.zeros(fields.num_rows, dtype=np.bool_)
    newest_us = min(now_us + limits.max_future_us, END_OF_TIME_US - 1)
    good &= _true(pc.and_(pc.greater_equal(times, 0), pc.less_equal(times, newest_us)))
    if "value" in fields.typed:
        good &= _true(pc.is_finite(fields.typed["value"]), when_null=True)
    if "position" in fields.typed:
        places = fields.typed["position"]
        good &= _true(pc.and_(pc.greater_equal(places, 0), pc.less_equal(places, _MAX_POSITION)), when_null=True)
    return good & _good_attributes(fields.typed.get("attributes"), fields.num_rows, limits)


def _good_ids(ids: pa.Array | None, num_rows: int) -> _Mask:
    """Neither empty nor too long, and no control character."""
    if ids is None:
        return np.zeros(num_rows, dtype=np.bool_)
    lengths = pc.binary_length(ids)
    good = _true(pc.and_(pc.greater(lengths, 0), pc.less_equal(lengths, MAX_ID_BYTES)))
    if _holds_control_bytes(ids):
        good &= ~_true(pc.match_substring_regex(ids, r"[\x00-\x1f\x7f]"))
    return good


def _holds_control_bytes(texts: pa.Array) -> bool:
    """Looks at all bytes of a column at once; those of longer UTF-8 sequences are 0x80 and above."""
    offsets = np.frombuffer(texts.buffers()[1], np.int32, len(texts) + 1, texts.offset * 4)
    if offsets[0] == offsets[-1]:
        return False
    content = np.frombuffer(texts.buffers()[2], np.uint8, offsets[-1] - offsets[0], offsets[0])
    return bool((content < 0x20).any() or (content == 0x7F).any())


def _among(words: pa.Array | None, known: Sequence[str], num_rows: int) -> _Mask:
    if words is None:
        return np.zeros(num_rows, dtype=np.bool_)
    return _true(pc.is_in(words, value_set=pa.array(known, pa.string())))


def _good_attributes(attributes: pa.Array | None, num_rows: int, limits: Limits) -> _Mask:
    """Few enough, short enough, every name once, and the whole record surely not too large."""
    if attributes is None:
        return np.full(num_rows, limits.max_record_bytes >= _MAX_PLAIN_BYTES)
    offsets = attributes.offsets.to_numpy()
    first_entry, num_entries, counts = int(offsets[0]), int(offsets[-1] - offsets[0]), np.diff(offsets)
    rows = np.repeat(np.arange(num_rows), counts)
    names = attributes.keys.slice(first_entry, num_entries)
    values = attributes.items.slice(first_entry, num_entries)
    sizes = pc.add(pc.binary_length(names), pc.binary_length(values)).to_numpy(zero_copy_only=False)
    codes = names.dictionary_encode().indices.to_numpy(zero_copy_only=False).astype(np.int64)
    good = counts <= MAX_ATTRIBUTES
    good &= np.bincount(rows, weights=sizes > MAX_ATTRIBUTE_BYTES, minlength=num_rows) == 0
    pairs = rows * (codes.max(initial=0) + 1) + codes
    _, first = np.unique(pairs, return_index=True)
    again = np.ones(len(pairs), dtype=np.bool_)
    again[first] = False
    good &= np.bincount(rows, weights=again, minlength=num_rows) == 0
    most_bytes = np.bincount(rows, weights=6 * (sizes + 1), minlength=num_rows) + _MAX_PLAIN_BYTES
    return np.asarray(good & (most_bytes <= limits.max_record_bytes))


def _true(answers: pa.Array, *, when_null: bool = False) -> _Mask:
    return np.asarray(pc.fill_null(answers, when_null).to_numpy(zero_copy_only=False))
