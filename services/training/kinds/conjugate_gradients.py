"""A few steps of conjugate gradients towards the ridge regressions of `least_squares`, for all rows at once.

Instead of gathering the vectors of each row's cells, which costs dim^2 a cell to solve exactly, a step is two products
with the sparse matrix, 4 dim a cell: from where a row was one epoch before, few of them are enough. Source: Takács,
Pilászy & Tikk, Applications of the conjugate gradient method for implicit feedback collaborative filtering, RecSys
2011; preconditioned by the diagonal that a row's system has on average.
"""

from typing import Final

import torch
from torch import Tensor

from services.training.kinds.interaction_matrix import SparseMatrix

ROW_NUMBERS: Final = 2_000_000  # of a block of rows. Larger: more memory (4 bytes each, eight times); smaller: slower


def improve_rows(
    matrix: SparseMatrix,
    other: Tensor,
    spectrum: Tensor,
    factors: Tensor,
    ridge: Tensor,
    unobserved: float,
    num_steps: int,
    row_numbers: int = ROW_NUMBERS,
) -> None:
    """Moves `factors` (num_rows, dim) in place, as `least_squares.solve_rows` does, and at most as far.

    other: (num_columns, dim), whose Gram matrix is diag(spectrum). ridge: (num_rows,), above 0. A row without cells
    stays as it is. No step makes the loss larger.
    """
    num_rows = max(1, row_numbers // factors.shape[1])
    for first in range(0, matrix.num_rows, num_rows):
        last = min(first + num_rows, matrix.num_rows)
        rows = slice(first, last)
        diagonal = unobserved * spectrum + ridge[rows].unsqueeze(1)  # (rows, dim)
        _improve(matrix.rows(first, last), other, diagonal, factors[rows], num_steps)


def observed_products(matrix: SparseMatrix, rows: Tensor, columns: Tensor) -> Tensor:
    """(num_cells,): the product of the vectors of each cell's row and column, both (number of them, dim)."""
    return _products(matrix.tensor().to(rows.device), rows, columns)


def _improve(matrix: SparseMatrix, other: Tensor, diagonal: Tensor, factors: Tensor, num_steps: int) -> None:
    """diagonal: what stands on that of each row's system besides its cells, (rows, dim)."""
    cells = matrix.tensor().to(factors.device)
    weights = cells.values()
    has_cells = torch.from_numpy(matrix.row_counts > 0).to(factors.device).unsqueeze(1)
    # As if each cell had the mean square of all vectors: the diagonal itself is a product more, and no better.
    of_row = torch.from_numpy(matrix.row_sums()).to(other).unsqueeze(1)  # (rows, 1)
    scale = (diagonal + of_row * (other**2).mean(0)).reciprocal_()  # (rows, dim), as are the next three
    left = _with_values(cells, weights * (1 - _products(cells, factors, other))) @ other
    left.addcmul_(diagonal, factors, value=-1)
    towards = scale * left
    length = (left * towards).sum(1, keepdim=True)  # (rows, 1)
    for _ in range(num_steps):
        bent = _with_values(cells, weights * _products(cells, towards, other)) @ other
        bent.addcmul_(diagonal, towards)
        along = (towards * bent).sum(1, keepdim=True)
        step = torch.where(has_cells & (along > 0), length / along, 0.0)
        factors.addcmul_(step, towards)
        left.addcmul_(step, bent, value=-1)
        turned = scale * left
        length_then = (left * turned).sum(1, keepdim=True)
        towards = turned.addcmul_(torch.where(length > 0, length_then / length, 0.0), towards)
        length = length_then


def _products(cells: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """(num_cells,), worked out nowhere else than where there is a cell."""
    products: Tensor = torch.sparse.sampled_addmm(cells, rows, columns.T, beta=0.0).values()
    return products


def _with_values(cells: Tensor, values: Tensor) -> Tensor:
    return torch.sparse_csr_tensor(
        cells.crow_indices(), cells.col_indices(), values, size=cells.shape, check_invariants=False
    )
