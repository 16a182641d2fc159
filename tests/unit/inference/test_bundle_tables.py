"""A bundle whose tables cannot be used is refused before it serves, with a sentence that names the table."""

from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import pytest

from services.domain.bundle_tables import TABLES_OF, TableSpec
from services.domain.bundles import SCORING, TABLES
from services.domain.errors import BundleBroken
from services.inference.serving_model import load_serving_model
from tests.fakes.tiny_bundle import KINDS, Table, item_vectors, seal, tables_of, tamper, write_bundle, write_tables

VECTORS = item_vectors(3)  # 6 items, dimension 4

NEEDED = [(kind, name) for kind in KINDS for name in TABLES_OF[SCORING[kind]]]
"""Every table of every kind."""


def refused(folder: Path, kind: str, tables: Mapping[str, Table]) -> str:
    """Why a bundle of these tables is refused."""
    manifest = write_bundle(folder, "v1", vectors=VECTORS, kind=kind)
    write_tables(folder, tables)
    seal(folder, manifest)
    with pytest.raises(BundleBroken) as caught:
        load_serving_model(folder)
    return str(caught.value)


@pytest.mark.parametrize(("kind", "name"), NEEDED)
def test_a_table_that_is_missing(tmp_path: Path, kind: str, name: str) -> None:
    tables = tables_of(kind, VECTORS)
    del tables[name]
    assert f"lacks the table {name!r}" in refused(tmp_path / "v1", kind, tables)


def one_less(table: Table) -> Table:
    return np.ascontiguousarray(table[:-1])


def one_axis_more(table: Table) -> Table:
    return table[..., np.newaxis]


def of_64_bits(table: Table) -> Table:
    return table.astype(np.int64 if table.dtype == np.int32 else np.float64)


def of_the_other_type(table: Table) -> Table:
    return table.astype(np.float32 if table.dtype == np.int32 else np.int32)


@pytest.mark.parametrize("change", [one_less, one_axis_more, of_64_bits, of_the_other_type])
@pytest.mark.parametrize(("kind", "name"), NEEDED)
def test_a_table_of_another_form(tmp_path: Path, kind: str, name: str, change: Callable[[Table], Table]) -> None:
    tables = tables_of(kind, VECTORS)
    tables[name] = change(tables[name])
    assert f"the table {name!r} in {TABLES} is" in refused(tmp_path / "v1", kind, tables)


@pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize(("kind", "name"), [(kind, name) for kind, name in NEEDED if name != "neighbour_rows"])
def test_a_number_that_is_not_finite(tmp_path: Path, kind: str, name: str, value: float) -> None:
    tables = tables_of(kind, VECTORS)
    tables[name].flat[-1] = value
    assert f"{name!r} in {TABLES} holds a number that is not finite" in refused(tmp_path / "v1", kind, tables)


@pytest.mark.parametrize("row", [-1, 7, 2**31 - 1])
@pytest.mark.parametrize("kind", ["item_knn", "ease", "gf_cf"])
def test_a_neighbour_that_is_no_item(tmp_path: Path, kind: str, row: int) -> None:
    tables = tables_of(kind, VECTORS)
    tables["neighbour_rows"][2, 3] = row
    assert "names a row outside of 0 to 6" in refused(tmp_path / "v1", kind, tables)


def test_neighbours_without_a_weight_each(tmp_path: Path) -> None:
    tables = tables_of("item_knn", VECTORS)
    tables["neighbour_rows"] = np.ascontiguousarray(tables["neighbour_rows"][:, :-1])
    assert "differ in shape" in refused(tmp_path / "v1", "item_knn", tables)


def test_neighbours_may_be_of_any_number_even_none(tmp_path: Path) -> None:
    none = {
        "neighbour_rows": np.empty((6, 0), np.int32),
        "neighbour_weights": np.empty((6, 0), np.float32),
    }
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS, kind="item_knn", tables=none)
    load_serving_model(tmp_path / "v1")


def test_a_problem_that_no_user_vector_solves(tmp_path: Path) -> None:
    nothing = {"gram": np.zeros((4, 4), np.float32), "fold_in": np.zeros(3, np.float32)}
    assert "cannot be folded in" in refused(tmp_path / "v1", "ials", tables_of("ials", VECTORS) | nothing)


def test_a_kind_that_this_version_does_not_know(tmp_path: Path) -> None:
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS)
    tamper(tmp_path / "v1", kind="oracle")
    with pytest.raises(BundleBroken, match="of the kind 'oracle', which this version cannot serve; it serves popul"):
        load_serving_model(tmp_path / "v1")


@pytest.mark.parametrize("kind", KINDS)
def test_a_table_that_nobody_asks_for_is_no_fault(tmp_path: Path, kind: str) -> None:
    more = {"notes": np.full(3, np.nan, np.float32)}
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS, kind=kind, tables=more)
    load_serving_model(tmp_path / "v1")


def test_every_way_of_scoring_says_what_it_needs() -> None:
    assert TABLES_OF.keys() == set(SCORING.values())
    assert all(specs["popularity"] == TableSpec(("num_items",)) for specs in TABLES_OF.values())
