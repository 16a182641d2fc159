"""Which columns become which fields, in the operator's words, and what is refused before a row is read."""

import pyarrow as pa
import pytest

from services.domain.errors import InvalidRequest
from services.ingest.importing.conforming import check_types
from services.ingest.importing.mapping import Columns, TimeUnit

REQUIRED = ("user_id", "item_id", "type", "event_time")


def test_columns_named_like_fields_need_no_mapping() -> None:
    columns = Columns.of_file([*REQUIRED, "other"], {}, {})
    assert columns.sources == {name: name for name in REQUIRED}
    assert columns.columns == sorted(REQUIRED)


def test_a_mapping_wins_over_a_column_of_the_same_name() -> None:
    columns = Columns.of_file([*REQUIRED, "uid"], {"user_id": "uid"}, {"type": "view"})
    assert columns.sources["user_id"] == "uid"
    assert "type" not in columns.sources


@pytest.mark.parametrize(
    ("mapped", "constants", "said"),
    [
        ({"user": "uid"}, {}, "no field"),
        ({"user_id": "nope"}, {}, "no column 'nope'"),
        ({}, {"typ": "view"}, "no field"),
        ({"type": "uid"}, {"type": "view"}, "choose one"),
        ({"attributes.": "uid"}, {}, "no field"),
        ({"attributes": "uid", "attributes.genre": "uid"}, {}, "attributes.NAME"),
        ({}, {"attributes": "x"}, "no field"),
    ],
)
def test_a_mistake_is_named(mapped: dict[str, str], constants: dict[str, str], said: str) -> None:
    with pytest.raises(InvalidRequest, match=said):
        Columns.of_file([*REQUIRED, "uid"], mapped, constants)


@pytest.mark.parametrize("missing", REQUIRED)
def test_a_required_field_without_a_column_is_asked_for(missing: str) -> None:
    with pytest.raises(InvalidRequest, match=f"--map {missing}=COLUMN"):
        Columns.of_file([name for name in REQUIRED if name != missing], {}, {})


def test_the_same_mapping_has_one_name_in_whatever_order_it_is_written() -> None:
    one = Columns.of_file([*REQUIRED, "a"], {"value": "a", "session_id": "a"}, {"surface": "x", "position": "1"})
    two = Columns.of_file(["a", *REQUIRED], {"session_id": "a", "value": "a"}, {"position": "1", "surface": "x"})
    other = Columns.of_file(["a", *REQUIRED], {"session_id": "a", "value": "a"}, {"position": "2", "surface": "x"})
    assert one.canonical() == two.canonical() != other.canonical()


@pytest.mark.parametrize(
    ("field", "kind", "unit", "said"),
    [
        ("user_id", pa.float64(), None, "whole numbers"),
        ("event_time", pa.int64(), None, "--time-unit"),
        ("event_time", pa.float64(), TimeUnit.ISO, "--time-unit"),
        ("event_time", pa.bool_(), None, "no time"),
        ("value", pa.timestamp("us"), None, "no number"),
        ("attributes", pa.list_(pa.string()), None, "JSON object"),
    ],
)
def test_a_column_that_can_never_be_its_field_is_refused(
    field: str, kind: pa.DataType, unit: TimeUnit | None, said: str
) -> None:
    schema = pa.schema([(name, pa.string()) for name in REQUIRED if name != field] + [(field, kind)])
    with pytest.raises(InvalidRequest, match=said):
        check_types(schema, Columns.of_file(schema.names, {}, {}, unit))


@pytest.mark.parametrize("kind", [pa.int32(), pa.large_string(), pa.dictionary(pa.int32(), pa.string()), pa.null()])
def test_whole_numbers_and_every_kind_of_text_are_ids(kind: pa.DataType) -> None:
    schema = pa.schema([(name, kind if name == "user_id" else pa.string()) for name in REQUIRED])
    check_types(schema, Columns.of_file(schema.names, {}, {}))
