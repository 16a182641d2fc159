"""Files as chunks: the same rows from every format, from any row on, and bad rows told from good ones."""

import json
import re
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from services.domain.errors import InvalidRequest
from services.ingest.importing import parquet_source, sources
from services.ingest.importing.json_lines_source import MAX_COLUMNS
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


@pytest.mark.parametrize("format_name", ["parquet", "csv", "jsonl"])
def test_long_rows_make_shorter_chunks(format_name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An import's memory is bounded by bytes, not by rows alone; columns that nobody asked for count too."""
    for module in (sources, parquet_source):
        monkeypatch.setattr(module, "CHUNK_BYTES", 10_000)
    rows = [{"id": f"e{n}", "text": f"{n:01000}"} for n in range(95)]
    path = tmp_path / f"long.{format_name}"
    if format_name == "parquet":
        pq.write_table(pa.Table.from_pylist(rows), path, use_dictionary=False)
    elif format_name == "csv":
        path.write_text("id,text\n" + "\n".join(",".join(row.values()) for row in rows), encoding="utf-8")
    else:
        path.write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    chunks = list(open_source(path, format_name).chunks(["id"], 3, 1_000))
    assert [id_ for chunk in chunks for id_ in chunk.columns["id"].to_pylist()] == [row["id"] for row in rows[3:]]
    assert all(chunk.num_rows <= 11 for chunk in chunks)
    assert len(chunks) <= 13


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
    assert chunk.unreadable == {
        1: "has 1 cells on line 3, the first line has 2",
        2: "has 3 cells on line 4, the first line has 2",
    }


def csv_of(path: Path, text: str) -> Chunk:
    path.write_text(text)
    (chunk,) = open_source(path, "csv").chunks(["a", "b"], 0, 100_000)
    return chunk


def test_a_quote_that_is_not_closed_takes_a_bounded_number_of_rows_and_says_which(tmp_path: Path) -> None:
    """Law 1: the rows it swallowed are no rows any more, so the report names their lines."""
    good = "".join(f"{n},{'x' * 90}\n" for n in range(2_000))
    chunk = csv_of(tmp_path / "file.csv", f'a,b\n1,"never closed\n{good}')
    ((place, problem),) = chunk.unreadable.items()
    found = re.search(r"lines 2 to (\d+)", problem)
    assert found is not None, problem
    last_line = int(found[1])
    assert place == 0
    assert last_line < 800
    assert chunk.num_rows == 1 + 2_002 - last_line, "every line is in the one record, or a row"


@pytest.mark.parametrize(
    ("text", "lines"),
    [
        ('1,"two\n3,four\n', "lines 2 to 3"),
        ('1,"two\n3,"four"\n', "lines 2 to 3"),
        ('"1" 2,3\n', "line 2"),
    ],
)
def test_a_quote_amiss_never_makes_a_row_with_other_rows_within(text: str, lines: str, tmp_path: Path) -> None:
    """Such a record has the right number of cells by chance, at the end of a file always."""
    chunk = csv_of(tmp_path / "file.csv", "a,b\n" + text)
    assert chunk.columns["b"].to_pylist() == [None]
    assert f"on {lines}:" in chunk.unreadable[0]


@pytest.mark.parametrize("delimiter", ["", ";;", '"', "\n"])
def test_what_cannot_stand_between_cells_is_no_delimiter(delimiter: str, tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_text("a\n1\n")
    with pytest.raises(InvalidRequest, match="--delimiter"):
        open_source(tmp_path / "file.csv", "csv", delimiter=delimiter)


@pytest.mark.parametrize("header", ["naïve,b\n1,2\n".encode("latin-1"), "a,b\n1,2\n".encode("utf-16")])
def test_column_names_that_are_no_utf8_are_refused_in_a_sentence(header: bytes, tmp_path: Path) -> None:
    (tmp_path / "file.csv").write_bytes(header)
    with pytest.raises(InvalidRequest, match="iconv"):
        open_source(tmp_path / "file.csv", "csv")


@pytest.mark.parametrize("format_name", ["csv", "jsonl"])
def test_a_byte_order_mark_is_no_part_of_the_first_row(format_name: str, tmp_path: Path) -> None:
    text = {"csv": "a\nx\ny\n", "jsonl": '{"a": "x"}\n{"a": "y"}\n'}[format_name]
    (tmp_path / "file").write_text(text, encoding="utf-8-sig")
    (chunk,) = open_source(tmp_path / "file", format_name).chunks(["a"], 0, 100)
    assert chunk.columns["a"].to_pylist() == ["x", "y"]
    assert not chunk.unreadable


def test_a_damaged_parquet_file_is_named_with_the_row_it_was_read_to(tmp_path: Path) -> None:
    """The rows before are given first, so that they are imported."""
    path = tmp_path / "file.parquet"
    table = pa.table({"a": [f"value {n}" for n in range(400)]})
    pq.write_table(table, path, row_group_size=100, compression="zstd", use_dictionary=False)
    group = pq.ParquetFile(path).metadata.row_group(2).column(0)
    content = bytearray(path.read_bytes())
    start = group.data_page_offset
    content[start : start + group.total_compressed_size] = b"\xff" * group.total_compressed_size
    path.write_bytes(content)
    chunks = open_source(path, "parquet").chunks(["a"], 0, 100)
    assert [next(chunks).num_rows, next(chunks).num_rows] == [100, 100]
    with pytest.raises(InvalidRequest, match=r"file\.parquet' cannot be read after row 200"):
        next(chunks)


def test_a_parquet_file_that_names_a_column_twice_is_refused(tmp_path: Path) -> None:
    pq.write_table(pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), tmp_path / "file")
    with pytest.raises(InvalidRequest, match="twice"):
        open_source(tmp_path / "file", "parquet")


def test_a_member_that_only_the_last_line_has_is_a_column(tmp_path: Path) -> None:
    """Law 1: no value is dropped because it came late."""
    path = tmp_path / "file.jsonl"
    path.write_text('{"a": "x"}\n' * 3_000 + '{"a": "y", "value": 4.5}\n')
    source = open_source(path, "jsonl")
    assert source.schema.names == ["a", "value"]
    *_, last = source.chunks(["value"], 0, 1_000)
    assert last.columns["value"].to_pylist() == ["4.5"]


def test_a_file_whose_member_names_are_data_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "file.jsonl"
    path.write_text("".join(f'{{"user {n}": 1}}\n' for n in range(MAX_COLUMNS + 1)))
    with pytest.raises(InvalidRequest, match="member names"):
        open_source(path, "jsonl")


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
