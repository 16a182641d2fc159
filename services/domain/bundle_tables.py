"""Which tables a bundle of each way of scoring holds, and the check that training and serving make of them.

A table that is not named here is no fault: it may be for people, or for a later version.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final, Literal, NamedTuple, TypeAlias

import numpy as np
import numpy.typing as npt

from services.domain.bundles import TABLES, Scoring
from services.domain.errors import BundleBroken
from services.domain.scoring import NUM_FOLD_IN_PARAMETERS, Tables

Axis: TypeAlias = Literal["num_items", "dim", "num_event_type_rows", "any"] | int


class TableSpec(NamedTuple):
    """What a table must be. Of an int32 table: item rows, 0 for none."""

    shape: tuple[Axis, ...]
    dtype: type[np.float32] | type[np.int32] = np.float32


_POPULARITY: Final = {"popularity": TableSpec(("num_items",))}
_ITEM_VECTORS: Final = {"item_vectors": TableSpec(("num_items", "dim"))}
_TYPE_WEIGHTS: Final = {"type_weights": TableSpec(("num_event_type_rows",))}

TABLES_OF: Final[Mapping[Scoring, Mapping[str, TableSpec]]] = {
    Scoring.POPULAR: _POPULARITY,
    Scoring.ENCODED: _POPULARITY | _ITEM_VECTORS,
    Scoring.FOLDED_IN: _POPULARITY
    | _ITEM_VECTORS
    | _TYPE_WEIGHTS
    | {"gram": TableSpec(("dim", "dim")), "fold_in": TableSpec((NUM_FOLD_IN_PARAMETERS,))},
    Scoring.NEIGHBOURS: _POPULARITY
    | _TYPE_WEIGHTS
    | {
        "neighbour_rows": TableSpec(("num_items", "any"), np.int32),
        "neighbour_weights": TableSpec(("num_items", "any")),
    },
}


@dataclass(frozen=True, slots=True)
class TableSizes:
    """What a bundle's manifest and vocabulary say of its tables."""

    num_items: int
    dim: int
    num_event_types: int
    """Event-type rows without row 0, which a table has all the same."""

    def of(self, axis: Axis) -> int | None:
        """The length that an axis must have; None where any will do."""
        if isinstance(axis, int):
            return axis
        lengths = {"num_items": self.num_items, "dim": self.dim, "num_event_type_rows": self.num_event_types + 1}
        return lengths.get(axis)


def check_tables(tables: Tables, scoring: Scoring, sizes: TableSizes) -> None:
    """Raises BundleBroken naming the table that is missing, is of another shape or type, or holds what it may not."""
    if sizes.num_items == 0:
        raise BundleBroken(f"{TABLES} holds no items")
    for name, spec in TABLES_OF[scoring].items():
        table = tables.get(name)
        if table is None:
            raise BundleBroken(f"{TABLES} lacks the table {name!r}, which scoring by {scoring.value} needs")
        _check_form(name, table, spec, sizes)
        _check_values(name, table, sizes)
    if scoring is Scoring.NEIGHBOURS and tables["neighbour_rows"].shape != tables["neighbour_weights"].shape:
        raise BundleBroken(f"the tables 'neighbour_rows' and 'neighbour_weights' in {TABLES} differ in shape")


def _check_form(name: str, table: npt.NDArray[Any], spec: TableSpec, sizes: TableSizes) -> None:
    lengths = [sizes.of(axis) for axis in spec.shape]
    fits = table.ndim == len(lengths) and all(
        wanted in (None, found) for wanted, found in zip(lengths, table.shape, strict=True)
    )
    if not fits or table.dtype != spec.dtype:
        wanted = ", ".join("any" if length is None else str(length) for length in lengths)
        raise BundleBroken(
            f"the table {name!r} in {TABLES} is {table.dtype} {table.shape}, not {np.dtype(spec.dtype)} ({wanted}), "
            "as the manifest and the vocabulary say"
        )


def _check_values(name: str, table: npt.NDArray[Any], sizes: TableSizes) -> None:
    if table.dtype == np.float32:
        if not np.isfinite(table).all():
            raise BundleBroken(f"the table {name!r} in {TABLES} holds a number that is not finite")
    elif table.size and not 0 <= table.min() <= table.max() <= sizes.num_items:
        raise BundleBroken(f"the table {name!r} in {TABLES} names a row outside of 0 to {sizes.num_items}")
