"""What the quick check waves through, the stream's codec accepts with the same values."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pyarrow as pa
from hypothesis import example, given, settings
from hypothesis import strategies as st

from services.adapters.delta_log.interactions import to_logged_events
from services.adapters.delta_log.rows import SCHEMA
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.interactions import Interaction
from services.domain.streams import DeadReason, Partition, Record
from services.ingest.codec import Limits, decode_event
from services.ingest.importing.conforming import Fields, conform
from services.ingest.importing.documents import CONTENT_TYPE, document
from services.ingest.importing.importer import rows_of_fields
from services.ingest.importing.judging import judge, plainly_events
from services.ingest.importing.mapping import FIELDS, Columns, TimeUnit
from services.ingest.importing.sources import Chunk

NOW_US = int(datetime(2026, 1, 31, tzinfo=UTC).timestamp()) * 1_000_000
LIMITS = Limits(65_536, 86_400_000_000)
GOOD: dict[str, Any] = {
    "event_id": "e1",
    "user_id": "ada",
    "item_id": "book",
    "type": "view",
    "event_time": NOW_US,
    "value": 1.5,
    "session_id": "s",
    "request_id": "r",
    "position": 3,
    "surface": "home",
    "attributes": [("k", "v")],
}
TYPES: dict[str, pa.DataType] = {
    **dict.fromkeys(("event_id", "user_id", "item_id", "type", "session_id", "request_id", "surface"), pa.binary()),
    "event_time": pa.int64(),
    "value": pa.float64(),
    "position": pa.int64(),
    "attributes": pa.map_(pa.string(), pa.string()),
}

# Around every bound: lengths of 256 bytes and 1,024, control characters, bytes that are no UTF-8, times and places.
_texts = st.one_of(
    st.text(max_size=6).map(lambda text: text.encode("utf-8", "surrogatepass")),
    st.binary(max_size=4),
    st.builds(lambda char, count: (char * count).encode(), st.sampled_from("aé\x7f\n"), st.integers(120, 260)),
)
_keys = st.text(st.characters(codec="utf-8"), max_size=3)
_values: dict[str, st.SearchStrategy[Any]] = {
    **dict.fromkeys(TYPES, _texts),
    "type": st.sampled_from([b"view", b"rating", b"wink", b""]),
    "event_time": st.sampled_from([0, -1, NOW_US, NOW_US + 86_400_000_000, 2**62, -(2**62)]) | st.integers(0, NOW_US),
    "value": st.floats(),
    "position": st.sampled_from([0, 2**32 - 1, 2**32, -1]),
    "attributes": st.lists(
        st.tuples(_keys, _keys | st.integers(1_000, 1_030).map(lambda count: "v" * count)), max_size=4
    )
    | st.integers(30, 35).map(lambda count: [(str(n), "") for n in range(count)]),
}


@st.composite
def rows(draw: st.DrawFn) -> dict[str, Any]:
    """A good row with up to three of its values drawn anew."""
    changed = draw(st.lists(st.sampled_from(FIELDS), max_size=3, unique=True))
    return GOOD | {name: draw(st.none() | _values[name]) for name in changed}


def fields_of(table: list[dict[str, Any]]) -> Fields:
    columns = {
        name: pa.array([_bytes(row[name]) if kind == pa.binary() else row[name] for row in table], kind)
        for name, kind in TYPES.items()
    }
    return conform(Chunk(0, len(table), columns), Columns({name: name for name in TYPES}, {}, TimeUnit.MICROSECONDS))


def _bytes(value: str | bytes | None) -> bytes | None:
    return value.encode() if isinstance(value, str) else value


def by_codec(fields: Fields, place: int, limits: Limits = LIMITS) -> object:
    record = Record(Partition("import", 0), place, document(fields, place), CONTENT_TYPE)
    return decode_event(record, DEFAULT_EVENT_TYPES, limits, NOW_US)


@settings(max_examples=150, deadline=None)
@given(st.lists(rows(), min_size=1, max_size=4))
@example([GOOD | {"attributes": [("a", "1"), ("a", "2")]}])
@example([GOOD | {"user_id": b"\xff"}, GOOD])
@example(
    [GOOD | {name: b"x" * 257} for name in ("event_id", "user_id", "item_id", "session_id", "request_id", "surface")]
)
@example([GOOD | {"attributes": [("k", "v" * 1_024)]}, GOOD | {"attributes": [(str(n), "") for n in range(33)]}])
@example([GOOD | {"position": place} for place in (-1, 2**32)] + [GOOD | {"event_time": -1}])
def test_what_the_quick_check_accepts_the_codec_accepts_with_the_same_values(table: list[dict[str, Any]]) -> None:
    """Sound: else a bad row would enter the log that the stream refuses, or a good one with other values."""
    fields = fields_of(table)
    plain = plainly_events(fields, DEFAULT_EVENT_TYPES, LIMITS, NOW_US)
    for place in np.flatnonzero(plain).tolist():
        stored = rows_of_fields(fields, SCHEMA).slice(place, 1).combine_chunks().to_batches()[0]
        assert to_logged_events(stored).interactions == [by_codec(fields, place)]


@given(st.integers(1_024, 20_000))
@settings(max_examples=30, deadline=None)
def test_the_quick_check_knows_the_bound_on_a_records_size(max_record_bytes: int) -> None:
    limits = replace(LIMITS, max_record_bytes=max_record_bytes)
    fields = fields_of([GOOD | {"attributes": [(str(n), '"' * 900) for n in range(8)]}, GOOD])
    for place in np.flatnonzero(plainly_events(fields, DEFAULT_EVENT_TYPES, limits, NOW_US)).tolist():
        assert isinstance(by_codec(fields, place, limits), Interaction)


def test_good_rows_do_not_wait_for_the_codec() -> None:
    """Complete enough to be fast: also with what is optional left out, and at every bound."""
    bare: dict[str, Any] = dict.fromkeys(GOOD)
    table = [
        GOOD,
        bare | {name: GOOD[name] for name in ("event_id", "user_id", "item_id", "type", "event_time")},
        GOOD | {"event_id": "é" * 128, "session_id": "s" * 256, "position": 2**32 - 1, "event_time": 0},
        GOOD | {"attributes": [(str(n), "v") for n in range(32)]},
        GOOD | {"surface": "a\nb"},
    ]
    assert plainly_events(fields_of(table), DEFAULT_EVENT_TYPES, LIMITS, NOW_US).all()


def test_every_row_gets_the_codecs_verdict_in_its_own_place() -> None:
    table = [
        GOOD,
        GOOD | {"user_id": ""},
        GOOD | {"type": "wink"},
        GOOD | {"value": float("nan")},
        GOOD | {"event_time": NOW_US + 2 * 86_400_000_000},
        GOOD | {"attributes": [("a", "1"), ("a", "2")]},
        GOOD | {"item_id": b"\xff"},
    ]
    skip = np.zeros(len(table), dtype=np.bool_)
    skip[0] = True
    judged = judge(fields_of(table), skip, DEFAULT_EVENT_TYPES, LIMITS, NOW_US)
    assert not judged.plain.any()
    assert [(place, row.attributes) for place, row in judged.others] == [(5, {"a": "2"})]
    assert [(bad.place, bad.reason) for bad in judged.bad] == [
        (1, DeadReason.INVALID_FIELD),
        (2, DeadReason.UNKNOWN_TYPE),
        (3, DeadReason.INVALID_FIELD),
        (4, DeadReason.FUTURE_TIME),
        (6, DeadReason.MALFORMED),
    ]
