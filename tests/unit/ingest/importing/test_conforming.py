"""Columns as typed fields: text, numbers, times in every spelling, attributes; one bad value spoils its row only."""

from datetime import UTC, date, datetime, timedelta, timezone
from hashlib import blake2b
from typing import Any

import pyarrow as pa
import pytest

from services.ingest.importing.conforming import conform
from services.ingest.importing.event_ids import with_event_ids
from services.ingest.importing.mapping import Columns, TimeUnit
from services.ingest.importing.sources import Chunk

MOMENT = datetime(2026, 1, 31, 12, 0, 0, 250_000, tzinfo=UTC)
MOMENT_US = int(MOMENT.timestamp() * 1_000_000)


def typed(name: str, column: pa.Array, unit: TimeUnit | None = None) -> tuple[list[Any], list[bool]]:
    fields = conform(Chunk(0, len(column), {"c": column}), Columns({name: "c"}, {}, unit))
    return fields.typed[name].to_pylist(), fields.unfit.tolist()


@pytest.mark.parametrize(
    ("column", "unit"),
    [
        (pa.array([MOMENT], pa.timestamp("ns", "UTC")), None),
        (pa.array([MOMENT.astimezone(timezone(timedelta(hours=5)))], pa.timestamp("us", "+05:00")), None),
        (pa.array([MOMENT.replace(tzinfo=None)], pa.timestamp("ms")), None),
        (pa.array([MOMENT_US // 1_000]), TimeUnit.MILLISECONDS),
        (pa.array([MOMENT_US]), TimeUnit.MICROSECONDS),
        (pa.array([MOMENT_US / 1e6]), TimeUnit.SECONDS),
        (pa.array([str(MOMENT_US / 1e6)]), TimeUnit.SECONDS),
        (pa.array(["2026-01-31T12:00:00.25Z"]), None),
        (pa.array(["2026-01-31 17:00:00.250+05:00"]), TimeUnit.ISO),
        (pa.array(["2026-01-31T12:00:00.250000123"]), None),
        (pa.array([" 2026-01-31T12:00:00.250 "]), None),
    ],
)
def test_a_time_is_the_same_moment_in_every_spelling(column: pa.Array, unit: TimeUnit | None) -> None:
    assert typed("event_time", column, unit) == ([MOMENT_US], [False])


def test_a_date_is_its_first_moment_in_utc() -> None:
    midnight_us = MOMENT_US - 43_200_250_000
    assert typed("event_time", pa.array([date(2026, 1, 31)])) == ([midnight_us], [False])
    assert typed("event_time", pa.array(["2026-01-31"])) == ([midnight_us], [False])


def test_whole_seconds_in_a_text_file_are_exact() -> None:
    assert typed("event_time", pa.array(["1700000000"]), TimeUnit.SECONDS) == ([1_700_000_000_000_000], [False])


def test_a_value_that_does_not_convert_marks_its_row_and_no_other() -> None:
    column = pa.array([str(n) if n % 7 else "seven" for n in range(50)])
    values, unfit = typed("value", column)
    assert values == [float(n) if n % 7 else None for n in range(50)]
    assert unfit == [n % 7 == 0 for n in range(50)]


def test_a_number_too_large_for_a_time_is_unfit_and_not_wrapped_around() -> None:
    assert typed("event_time", pa.array([2**60, 1]), TimeUnit.SECONDS) == ([None, 1_000_000], [True, False])


@pytest.mark.parametrize(
    "far",
    [
        pa.array([18_446_744_073_709 + 1_700_000_000, 1], pa.timestamp("s")),
        pa.array([18_446_744_073_709_551 + 1_700_000_000_000, 1_000], pa.timestamp("ms", "UTC")),
    ],
)
def test_a_timestamp_too_far_for_microseconds_is_unfit_and_not_wrapped_around(far: pa.Array) -> None:
    """Wrapped around, these would be plausible moments of 2023."""
    assert typed("event_time", far) == ([None, 1_000_000], [True, False])


def test_a_date_too_far_for_microseconds_is_unfit() -> None:
    assert typed("event_time", pa.array([2**31 - 1, 0], pa.date32())) == ([None, 0], [True, False])


def test_whole_numbers_become_ids_and_no_value_stays_none() -> None:
    assert typed("user_id", pa.array([7, None], pa.int32())) == (["7", None], [False, False])
    assert typed("user_id", pa.array(["a", "b", "a"]).dictionary_encode()) == (["a", "b", "a"], [False] * 3)


def test_text_that_is_no_utf8_is_unfit() -> None:
    assert typed("user_id", pa.array([b"ok", b"\xff"])) == (["ok", None], [False, True])


def test_attributes_come_from_a_map_or_from_json() -> None:
    expected: tuple[list[Any], list[bool]] = ([[("a", "1")], [], None], [False] * 3)
    assert typed("attributes", pa.array([[("a", "1")], [], None], pa.map_(pa.string(), pa.string()))) == expected
    assert typed("attributes", pa.array(['{"a": "1"}', "{}", None])) == expected
    assert typed("attributes", pa.array(["[]", '{"a": 1}', "{"])) == ([None] * 3, [True] * 3)


def test_columns_become_attributes_where_they_have_a_value() -> None:
    chunk = Chunk(0, 3, {"g": pa.array(["jazz", None, None]), "y": pa.array([1959, 1960, None])})
    columns = Columns({"attributes.genre": "g", "attributes.year": "y"}, {"attributes.source": "old"})
    assert conform(chunk, columns).typed["attributes"].to_pylist() == [
        [("genre", "jazz"), ("source", "old"), ("year", "1959")],
        [("source", "old"), ("year", "1960")],
        [("source", "old")],
    ]


def derived(*users: str, **others: pa.Array) -> list[str]:
    columns = {"user_id": pa.array(users), **others}
    fields = conform(Chunk(0, len(users), columns), Columns({name: name for name in columns}, {"type": "view"}))
    ids: list[str] = with_event_ids(fields).typed["event_id"].to_pylist()
    return ids


def test_a_row_without_an_id_is_given_one_by_its_content() -> None:
    """Such ids are stored for good, so the recipe must not change, nor when the contract gains a field."""
    ada, bob = (
        blake2b(b'{"type":"view","user_id":"%s"}' % name, digest_size=16).hexdigest() for name in (b"ada", b"bob")
    )
    assert derived("ada", "bob", "ada") == [f"row-{ada}", f"row-{bob}", f"row-{ada}"]


def test_an_id_that_is_there_stays_and_an_empty_one_is_left_to_the_codec() -> None:
    ids = derived("ada", "bob", "cid", event_id=pa.array(["e1", None, ""]))
    assert (ids[0], ids[2]) == ("e1", "")
    assert ids[1] == derived("bob")[0]


def test_the_content_is_every_field_and_not_the_order_of_attributes() -> None:
    kind = pa.map_(pa.string(), pa.string())
    plain, one, other = derived(
        "ada", "ada", "ada", attributes=pa.array([[], [("a", "1"), ("b", "2")], [("b", "2"), ("a", "1")]], kind)
    )
    assert plain == derived("ada")[0]
    assert one == other != plain
    assert derived("ada", surface=pa.array(["home"])) != derived("ada", session_id=pa.array(["home"]))
