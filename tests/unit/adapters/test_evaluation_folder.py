"""A folder of Parquet files becomes a data set, or one sentence that says what to do."""

import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.adapters.evaluation_folder import read_folder
from services.domain.errors import BadData

GOOD: Mapping[str, Any] = {"user_id": [7, 7, 8], "item_id": ["a", "b", "a"], "timestamp": [10, 20, 5]}


def folder_with(folder: Path, events: Mapping[str, Any], items: Mapping[str, Any] | None = None) -> Path:
    pq.write_table(pa.table(dict(events)), folder / "events.parquet")
    if items is not None:
        pq.write_table(pa.table(dict(items)), folder / "items.parquet")
    return folder


def test_numbers_and_text_are_ids_alike(tmp_path: Path) -> None:
    data = read_folder(folder_with(tmp_path, GOOD))
    assert (data.users.spelled(), data.items.spelled()) == (["7", "7", "8"], ["a", "b", "a"])
    assert (data.times_s.tolist(), data.is_test, data.features) == ([10, 20, 5], None, {})


def test_users_that_are_mixed_in_the_file_come_one_after_the_other_by_time(tmp_path: Path) -> None:
    events = {"user_id": ["b", "a", "b", "a"], "item_id": [1, 2, 3, 4], "timestamp": [9, 9, 3, 12]}
    data = read_folder(folder_with(tmp_path, events))
    assert data.users.spelled() == ["b", "b", "a", "a"]
    assert data.items.spelled() == ["3", "1", "2", "4"]
    assert (np.diff(data.users.codes) >= 0).all(), "the protocols count places by it"


def test_ties_stay_as_stored_and_pos_goes_before_the_time(tmp_path: Path) -> None:
    events = {"user_id": [1, 1, 1], "item_id": ["x", "y", "z"], "timestamp": [5, 5, 4]}
    assert read_folder(folder_with(tmp_path, events)).items.spelled() == ["z", "x", "y"]
    assert read_folder(folder_with(tmp_path, {**events, "pos": [2, 0, 1]})).items.spelled() == ["y", "z", "x"]


def test_the_split_moves_with_its_rows_and_a_gap_in_it_is_no_test(tmp_path: Path) -> None:
    events = {**GOOD, "timestamp": [20, 10, 5], "split": pa.array(["test", None, "train"]).dictionary_encode()}
    is_test = read_folder(folder_with(tmp_path, events)).is_test
    assert is_test is not None
    assert is_test.tolist() == [False, True, False]


def test_content_is_lists_words_and_sizes(tmp_path: Path) -> None:
    items = {
        "item_id": ["a", "b"],
        "tags": [[1, None, 2], None],
        "genres": ["Sci-Fi| War |", "Drama"],
        "price": [1.0, 1.5],
    }
    features = read_folder(folder_with(tmp_path, GOOD, items)).features
    assert features == {
        "a": ("tags=1", "tags=2", "genres=Sci-Fi", "genres=War", "price~0"),
        "b": ("genres=drama", "price~1"),
    }


def test_sizes_that_are_none_say_nothing(tmp_path: Path) -> None:
    """NaN, infinity and gaps; 0 and what is below it are sizes like others."""
    items = {"item_id": list("abcde"), "price": [math.nan, math.inf, None, 0.0, -3.0]}
    features = read_folder(folder_with(tmp_path, GOOD, items)).features
    assert [len(features[item]) for item in features] == [0, 0, 0, 1, 1]


def test_ids_of_ten_kilobytes_and_empty_ones_are_ids(tmp_path: Path) -> None:
    long = "é" * 10_000
    data = read_folder(
        folder_with(tmp_path, {**GOOD, "item_id": [long, "", "a"]}, {"item_id": [long], "title": [long]})
    )
    assert data.items.spelled() == [long, "", "a"]
    assert data.features[data.items.words[0]] == (f"title={long}",)  # type: ignore[index]


def test_events_in_many_pieces_number_their_ids_once(tmp_path: Path) -> None:
    """Parquet may give each row group a dictionary of its own."""
    table = pa.table({**GOOD, "item_id": pa.array(["a", "b", "a"]).dictionary_encode()})
    pq.write_table(table, tmp_path / "events.parquet", row_group_size=1)
    data = read_folder(tmp_path)
    assert sorted(data.items.words) == ["a", "b"]
    assert data.items.spelled() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"user_id": [7, None, 8]}, "user_id .*1 rows without a value; leave those out"),
        ({"item_id": [1.0, 2.0, math.nan]}, "item_id .*whole numbers or text, not double; convert"),
        ({"item_id": [[1], [2], [3]]}, "item_id .*whole numbers or text"),
        ({"timestamp": [1.5, 2.0, 3.0]}, "timestamp .*whole numbers, without gaps; it is double"),
        ({"timestamp": [1, None, 3]}, "timestamp .*1 gaps"),
        ({"timestamp": [1, 2, 1_700_000_000_000]}, "seconds since 1970.*Divide milliseconds"),
        ({"timestamp": [-1, 2, 3]}, "seconds since 1970.*it holds -1"),
        ({"timestamp": pa.array([1, 2, 2**64 - 1], pa.uint64())}, "timestamp .*64 bits"),
        ({"pos": ["first", "second", "first"]}, "pos .*whole numbers"),
        ({"user_id": [], "item_id": [], "timestamp": []}, "holds no events; fill it"),
    ],
)
def test_a_column_that_cannot_be_used_is_named_with_what_to_do(
    tmp_path: Path, change: Mapping[str, Any], says: str
) -> None:
    with pytest.raises(BadData, match=says):
        read_folder(folder_with(tmp_path, {**GOOD, **change}))


@pytest.mark.parametrize("name", ["user_id", "item_id", "timestamp"])
def test_a_column_that_is_missing_is_named_with_those_that_are_there(tmp_path: Path, name: str) -> None:
    events = {column: values for column, values in GOOD.items() if column != name}
    with pytest.raises(BadData, match=rf"lacks the column {name}, it has .*; rename or add it"):
        read_folder(folder_with(tmp_path, events))


@pytest.mark.parametrize(
    ("items", "says"),
    [
        ({"item_id": ["a", "b", "a", "a"]}, "names item a 3 times; keep one row"),
        ({"item_id": ["a", None]}, "item_id .*1 rows without a value"),
        ({"item_id": [1.0, 2.0]}, "whole numbers or text, not double"),
        ({"title": ["a"]}, "lacks the column item_id"),
    ],
)
def test_a_catalogue_that_cannot_be_used_is_refused(tmp_path: Path, items: Mapping[str, Any], says: str) -> None:
    with pytest.raises(BadData, match=rf"items\.parquet.*{says}|{says}"):
        read_folder(folder_with(tmp_path, GOOD, items))


def test_an_empty_catalogue_knows_nothing(tmp_path: Path) -> None:
    assert read_folder(folder_with(tmp_path, GOOD, {"item_id": pa.array([], pa.string())})).features == {}


def test_a_file_that_is_no_parquet_is_refused(tmp_path: Path) -> None:
    (tmp_path / "events.parquet").write_bytes(b"")
    with pytest.raises(BadData, match=r"events\.parquet cannot be read as Parquet .*; write it again"):
        read_folder(tmp_path)


@pytest.mark.parametrize("name", ["nowhere", "empty"])
def test_a_folder_without_events_is_refused(tmp_path: Path, name: str) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(BadData, match=r"holds no events\.parquet; name a folder with one"):
        read_folder(tmp_path / name)
