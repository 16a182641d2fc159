"""Files as chunks: the same rows from every format, from any row on, and bad rows told from good ones."""

import json
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.domain.errors import InvalidRequest
from services.ingest.importing.sources import Chunk, Source, format_of, open_source

ROWS = [
    {"id": f"e{n}", "user": f"ada {n}" if n % 3 else 'b,"o"b\né', "n": str(n) if n % 2 else None} for n in range(10)
]


def parquet(path: Path) -> Source:
    pq.write_table(pa.Table.from_pylist(ROWS), path, row_group_size=3)
    return open_source(path, "parquet")


def csv_file(path: Path) -> Source:
    lines = [",".join('"' + (value or "").replace('"', '""') + '"' for value in row.values()) for row in ROWS]
    path.write_text("id,user,n\n" + "\n".join(lines) + "\n\n", encoding="utf-8")
    return open_source(path, "csv")


def json_lines(path: Path) -> Source:
    path.write_text("\n\n".join(json.dumps(row) for row in ROWS), encoding="utf-8")
    return open_source(path, "jsonl")


Make = Callable[[Path], Source]
every_format = pytest.mark.parametrize("make", [parquet, csv_file, json_lines])


def read(chunks: Sequence[Chunk], names: Sequence[str] = ("id", "user", "n")) -> list[dict[str, str | None]]:
    return [
        {name: chunk.columns[name][place].as_py() for name in names}
        for chunk in chunks
        for place in range(chunk.num_rows)
    ]


@every_format
@pytest.mark.parametrize("max_rows", [1, 4, 100])
def test_every_format_gives_the_same_rows_in_the_files_order(make: Make, max_rows: int, tmp_path: Path) -> None:
    chunks = list(make(tmp_path / "file").chunks(["id", "user", "n"], 0, max_rows))
    assert read(chunks) == ROWS
    assert max(chunk.num_rows for chunk in chunks) <= max_rows


@every_format
@pytest.mark.parametrize("first_row", range(12))
def test_reading_goes_on_at_any_row(make: Make, first_row: int, tmp_path: Path) -> None:
    """What an import that was killed needs; also at the very end."""
    chunks = list(make(tmp_path / "file").chunks(["id"], first_row, 4))
    assert read(chunks, ["id"]) == [{"id": row["id"]} for row in ROWS[first_row:]]
    rows = [chunk.first_row + place for chunk in chunks for place in range(chunk.num_rows)]
    assert rows == list(range(first_row, 10))


@every_format
def test_the_columns_are_known_before_reading(make: Make, tmp_path: Path) -> None:
    assert make(tmp_path / "file").schema.names == ["id", "user", "n"]


def test_a_csv_row_with_another_number_of_cells_is_unreadable_and_keeps_its_place(tmp_path: Path) -> None:
    path = tmp_path / "file.csv"
    path.write_text("a,b\n1,2\n3\n4,5,6\n7,8\n")
    (chunk,) = open_source(path, "csv").chunks(["a", "b"], 0, 100)
    assert chunk.columns["a"].to_pylist() == ["1", None, None, "7"]
    assert chunk.unreadable == {1: "has 1 cells, the first line has 2", 2: "has 3 cells, the first line has 2"}


def test_bytes_that_are_no_utf8_arrive_as_they_were(tmp_path: Path) -> None:
    """For the codec to refuse; the other rows are as good as ever."""
    path = tmp_path / "file.csv"
    path.write_bytes(b"a\n\xff\xfe\nok\n")
    (chunk,) = open_source(path, "csv").chunks(["a"], 0, 100)
    assert chunk.columns["a"].to_pylist() == [b"\xff\xfe", b"ok"]


@pytest.mark.parametrize(
    "line",
    [b"{", b"[1]", b"7", b'"text"', b'{"a": tru}', b"\xff", b'{"a": 1} {"a": 2}', b'{"a":"\xff"}', b'{"a":"\\ud800"}'],
)
def test_a_line_that_is_no_json_object_is_unreadable_and_keeps_its_place(line: bytes, tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_bytes(b'{"a": "x"}\n' + line + b'\n{"a": "y"}\n')
    (chunk,) = open_source(path, "jsonl").chunks(["a"], 0, 100)
    assert chunk.columns["a"].to_pylist() == ["x", None, "y"]
    assert list(chunk.unreadable) == [1]


def test_json_values_become_their_text(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    values = ['"a\\u00e9\\n"', "17", "-1.5e3", "true", '{"k": "v"}', "null"]
    path.write_text("\n".join(f'{{"a": {value}}}' for value in values) + "\n{}\n")
    (chunk,) = open_source(path, "jsonl").chunks(["a"], 0, 100)
    assert chunk.columns["a"].to_pylist() == ["aé\n", "17", "-1500.0", "true", '{"k":"v"}', None, None]


@pytest.mark.parametrize(("name", "format_name"), [("a.Parquet", "parquet"), ("a.csv", "csv"), ("a.ndjson", "jsonl")])
def test_the_name_says_the_format(name: str, format_name: str) -> None:
    assert format_of(Path(name), None) == format_name


def test_a_name_that_says_nothing_asks_for_the_format() -> None:
    with pytest.raises(InvalidRequest, match="--format"):
        format_of(Path("events.txt"), None)
    assert format_of(Path("events.txt"), "csv") == "csv"


@pytest.mark.parametrize("format_name", ["parquet", "csv"])
def test_a_file_that_is_not_of_its_format_is_refused(format_name: str, tmp_path: Path) -> None:
    path = tmp_path / "file"
    path.write_text("")
    with pytest.raises(InvalidRequest):
        open_source(path, format_name)
    with pytest.raises(InvalidRequest, match="cannot be read"):
        open_source(tmp_path / "absent", format_name)
