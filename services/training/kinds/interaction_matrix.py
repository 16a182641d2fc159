"""Who took to what: the users x items matrix that the kinds without a network learn from, and histories as its rows.

A user and an item are one pair, however often they met: it is there when the newest event of the two that takes a side
is positive, and weighs what the strongest positive event between them does: `domain.scoring.liked`, of all users.
"""

import warnings
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, TypeAlias

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.domain.errors import NotEnoughData
from services.domain.event_types import Role
from services.domain.scoring import liked
from services.features.history import ItemRows, Rows
from services.training.data.dataset import Dataset, TrainingSequences
from services.training.model import Floats, History

Doubles: TypeAlias = npt.NDArray[np.float64]

DAY_US: Final = 86_400_000_000
PAIRS: Final = 4_000_000  # counted at a time. Larger: more memory (40 bytes each); smaller: slower
HALF_LIFE_DAYS: Final = 21.0
"""The age at which a pair counts half, where users share a clock. Larger: last season's taste stays; smaller: few pairs
are left to learn from. Of 7, 14, 21, 30, 60, 120 and 240 days the validation week of a shop liked 14 to 30 best."""
_SIGNS: Final = {Role.POSITIVE: 1.0, Role.NEGATIVE: -1.0}


@dataclass(frozen=True)
class SparseMatrix:
    """Compressed sparse rows; the columns of a row ascend."""

    indptr: Rows
    """(num_rows + 1,) where each row's cells start."""
    indices: ItemRows
    """(num_cells,) columns, from 0: item row r is column r - 1."""
    values: Floats
    """(num_cells,)."""
    num_columns: int

    @property
    def num_rows(self) -> int:
        return len(self.indptr) - 1

    @property
    def row_of_cell(self) -> Rows:
        """(num_cells,)."""
        return np.repeat(np.arange(self.num_rows), self.row_counts)

    @property
    def row_counts(self) -> Rows:
        """(num_rows,) how many cells each row has."""
        return np.diff(self.indptr)

    def row_sums(self) -> Doubles:
        return np.bincount(self.row_of_cell, self.values, minlength=self.num_rows).astype(np.float64)

    def column_sums(self) -> Doubles:
        return np.bincount(self.indices, self.values, minlength=self.num_columns).astype(np.float64)

    def with_values(self, values: npt.NDArray[np.floating]) -> "SparseMatrix":
        return SparseMatrix(self.indptr, self.indices, values.astype(np.float32), self.num_columns)

    def rows(self, first: int, last: int) -> "SparseMatrix":
        """The rows from `first` to before `last`."""
        start, stop = int(self.indptr[first]), int(self.indptr[last])
        indptr = self.indptr[first : last + 1] - start
        return SparseMatrix(indptr, self.indices[start:stop], self.values[start:stop], self.num_columns)

    def transposed(self) -> "SparseMatrix":
        order = np.argsort(self.indices, kind="stable")
        counts = np.bincount(self.indices, minlength=self.num_columns)
        indptr = np.concatenate(([0], np.cumsum(counts)))
        return SparseMatrix(indptr, self.row_of_cell[order].astype(np.int32), self.values[order], self.num_rows)

    def common(self, columns: "SparseMatrix", first: int, last: int) -> Floats:
        """Lines `first` to before `last` of X'X, float32 (last - first, num_columns); columns: `transposed`.

        By counting pairs of cells of a row, some at a time: torch's product of two sparse matrices keeps the memory.
        """
        asked, width = columns.rows(first, last), self.num_columns
        lines, num_partners = asked.row_of_cell, self.row_counts[asked.indices]
        ends = np.cumsum(num_partners)
        sums = np.zeros((last - first) * width)
        start = 0
        while start < len(ends):
            done = ends[start] - num_partners[start]
            stop = max(start + 1, int(np.searchsorted(ends, done + PAIRS, side="right")))
            part, sizes = slice(start, stop), num_partners[start:stop]
            begins = self.indptr[asked.indices[part]] - (ends[part] - sizes - done)
            partners = np.repeat(begins, sizes) + np.arange(ends[stop - 1] - done)
            cells = np.repeat(lines[part] * width, sizes) + self.indices[partners]
            sums += np.bincount(cells, np.repeat(asked.values[part], sizes) * self.values[partners], len(sums))
            start = stop
        return sums.astype(np.float32).reshape(last - first, width)

    def tensor(self) -> Tensor:
        """(num_rows, num_columns), a sparse CSR tensor on the CPU; its products with dense ones run in MKL."""
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", message="Sparse")  # that CSR tensors are young, once a process
            return torch.sparse_csr_tensor(
                torch.from_numpy(self.indptr.astype(np.int64)),
                torch.from_numpy(self.indices.astype(np.int64)),
                torch.from_numpy(self.values),
                size=(self.num_rows, self.num_columns),
                check_invariants=False,
            )


def interactions(dataset: Dataset, half_life_days: float | None = None) -> SparseMatrix:
    """(num_users, num_items), from dataset.sequences alone; raises NotEnoughData when there is no positive pair.

    half_life_days: the age at which a pair counts half, by the newest event of its item; ages are taken at the moment
    the holdout begins. None, or times that users do not share: all pairs count, however old.
    """
    sequences = dataset.sequences
    matrix, newest = _matrix(sequences, dataset.num_items)
    if not len(matrix.values):
        raise NotEnoughData("No user has an item that they liked and did not dislike later; collect more events.")
    cut_us = dataset.bounds_us.get("cut_us")
    if half_life_days is None or cut_us is None:
        return matrix
    ages_days = (cut_us - sequences.times_us[newest]) / DAY_US
    return matrix.with_values(matrix.values * 0.5 ** (ages_days / half_life_days))


def history_matrix(histories: Sequence[History], type_weights: Floats, num_items: int) -> SparseMatrix:
    """(len(histories), num_items): what each history speaks for, as serving reads it; a row may be empty.

    type_weights: (num_types + 1,) signed, of `type_weights_of`.
    """
    rows = [liked(history, type_weights) for history in histories]
    indptr = np.concatenate(([0], np.cumsum([len(row.positions) for row in rows])))
    positions, weights = (np.concatenate(column) for column in zip(*rows, strict=True))
    return SparseMatrix(indptr, positions.astype(np.int32), weights.astype(np.float32), num_items)


def type_weights_of(dataset: Dataset) -> Floats:
    """(num_types + 1,) float32: the signed weight of an event of each event-type row.

    Of a row without a training event only the sign is known, and its size is 1; row 0 says nothing.
    """
    roles = [role for _, role in dataset.vocabulary.judged_types]
    weights = np.array([0.0, *(_SIGNS.get(role, 0.0) for role in roles)], np.float32)
    weights[dataset.sequences.types] = dataset.sequences.weights  # the same of all events of a row
    return weights


def _matrix(sequences: TrainingSequences, num_items: int) -> tuple[SparseMatrix, Rows]:
    """The pairs, and of each the position of its newest event that takes a side, (num_cells,)."""
    owners, num_users = sequences.user_rows, len(sequences.starts) - 1
    sided = np.flatnonzero(sequences.weights)
    keys = owners[sided] << 32 | sequences.items[sided].astype(np.int64)
    order = np.argsort(keys, kind="stable")  # oldest first within a pair
    events = sided[order]
    starts = np.flatnonzero(np.diff(keys[order], prepend=-1))
    newest = events[np.append(starts[1:], len(events))[: len(starts)] - 1]
    strongest = np.maximum.reduceat(sequences.weights[events], starts) if len(events) else np.empty(0, np.float32)
    kept = sequences.weights[newest] > 0
    newest = newest[kept]
    indptr = np.concatenate(([0], np.cumsum(np.bincount(owners[newest], minlength=num_users))))
    columns = sequences.items[newest] - 1
    return SparseMatrix(indptr, columns, strongest[kept], num_items), newest
