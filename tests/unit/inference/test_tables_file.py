"""Tables come back as they were written, and a file that is none is refused by name."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from services.domain.errors import BundleBroken
from services.inference.tables_file import read_tables

TYPES = (
    "float64",
    "float32",
    "float16",
    "int64",
    "int32",
    "int16",
    "int8",
    "uint64",
    "uint32",
    "uint16",
    "uint8",
    "bool",
)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "tables.safetensors"


def test_every_table_is_as_the_library_reads_it(path: Path) -> None:
    random = np.random.default_rng(0)
    tables: dict[str, np.ndarray[Any, Any]] = {
        name: random.integers(0, 2, size=(3, 5)).astype(name) for name in TYPES
    } | {"scalar": np.array(2.5, np.float32), "none": np.empty((0, 4), np.float32), "line": np.arange(7)}
    save_file(tables, path, metadata={"by": "a test"})
    read, expected = read_tables(path), load_file(path)
    assert set(read) == set(expected)
    for name, table in expected.items():
        assert read[name].dtype == table.dtype, name
        assert read[name].shape == table.shape, name
        np.testing.assert_array_equal(read[name], table)


@pytest.mark.parametrize("length", [0, 4, 20, -1, -40])
def test_a_file_that_was_cut_is_refused_by_name(path: Path, length: int) -> None:
    save_file({"a": np.arange(12, dtype=np.float32)}, path)
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(BundleBroken, match=r"tables\.safetensors"):
        read_tables(path)


def test_a_missing_file_is_refused_by_name(path: Path) -> None:
    with pytest.raises(BundleBroken, match=r"tables\.safetensors"):
        read_tables(path)


def test_a_type_that_no_table_has_is_refused(path: Path) -> None:
    save_file({"a": np.zeros(3, np.complex64)}, path)
    with pytest.raises(BundleBroken, match="C64"):
        read_tables(path)
