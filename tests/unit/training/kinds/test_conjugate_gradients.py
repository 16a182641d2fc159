"""Conjugate gradients: enough steps solve a row exactly, no step makes it worse, and blocks of rows change nothing."""

import numpy as np
import pytest
import torch
from torch import Tensor

from services.training.kinds.conjugate_gradients import improve_rows, observed_products
from services.training.kinds.interaction_matrix import SparseMatrix, interactions
from services.training.kinds.least_squares import rotated, solve_rows
from tests.unit.training.kinds.small_data import random_dataset

UNOBSERVED = 0.1
NUM_ROWS, NUM_COLUMNS, DIM = 30, 20, 8


@pytest.fixture
def matrix() -> SparseMatrix:
    """Rows of all lengths and weights, the last of them without a cell."""
    matrix = interactions(random_dataset(NUM_ROWS, NUM_COLUMNS, 0.4)[0])
    weights = np.random.default_rng(0).uniform(0.5, 3.0, len(matrix.values))
    matrix = matrix.with_values(weights)
    return SparseMatrix(np.append(matrix.indptr, matrix.indptr[-1]), matrix.indices, matrix.values, NUM_COLUMNS)


def system(matrix: SparseMatrix) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """Column vectors in their principal axes, their spectrum, where the rows are, and what holds these back."""
    random = np.random.default_rng(1)
    columns, rows = (
        torch.from_numpy(random.normal(0, 0.3, (num, DIM))).float() for num in (NUM_COLUMNS, matrix.num_rows)
    )
    columns, rows, spectrum = rotated(columns, rows)
    ridge = torch.from_numpy(0.05 * (matrix.row_counts + UNOBSERVED * NUM_COLUMNS)).float()
    return columns, spectrum, rows, ridge


def losses(matrix: SparseMatrix, columns: Tensor, rows: Tensor, ridge: Tensor) -> Tensor:
    """Of each row, by the definition in `least_squares`."""
    products, weights = rows.double() @ columns.double().T, matrix.tensor().to_dense().double()
    observed = (weights * (products - 1) ** 2).sum(1)
    return observed + UNOBSERVED * (products**2).sum(1) + ridge.double() * (rows.double() ** 2).sum(1)


def test_as_many_steps_as_dimensions_solve_rows_exactly(matrix: SparseMatrix) -> None:
    columns, spectrum, rows, ridge = system(matrix)
    exact = rows.clone()
    solve_rows(matrix, columns, spectrum, exact, ridge, UNOBSERVED, DIM)
    improve_rows(matrix, columns, spectrum, rows, ridge, UNOBSERVED, DIM)
    assert torch.allclose(rows, exact, rtol=1e-3, atol=1e-4)


def test_no_step_makes_a_row_worse_and_few_come_near_the_best(matrix: SparseMatrix) -> None:
    columns, spectrum, rows, ridge = system(matrix)
    exact, before = rows.clone(), losses(matrix, columns, rows, ridge)
    solve_rows(matrix, columns, spectrum, exact, ridge, UNOBSERVED, DIM)
    best, first = losses(matrix, columns, exact, ridge), before
    for _ in range(3):
        improve_rows(matrix, columns, spectrum, rows, ridge, UNOBSERVED, 1)
        after = losses(matrix, columns, rows, ridge)
        assert (after <= before * (1 + 1e-6)).all()
        before = after
    assert (before - best).sum() < 0.02 * (first - best).sum()


def test_a_row_without_cells_stays_as_it_is(matrix: SparseMatrix) -> None:
    columns, spectrum, rows, ridge = system(matrix)
    start = rows.clone()
    improve_rows(matrix, columns, spectrum, rows, ridge, UNOBSERVED, 3)
    assert torch.equal(rows[-1], start[-1])
    assert not torch.equal(rows[0], start[0])


def test_a_solved_row_stays_a_number(matrix: SparseMatrix) -> None:
    """Where nothing is left to do the length of a step is nothing over nothing."""
    columns, spectrum, rows, ridge = system(matrix)
    rows.zero_()
    improve_rows(matrix, torch.zeros_like(columns), torch.zeros_like(spectrum), rows, ridge, UNOBSERVED, 3)
    assert torch.equal(rows, torch.zeros_like(rows))


def test_rows_in_blocks_are_those_at_once(matrix: SparseMatrix) -> None:
    columns, spectrum, rows, ridge = system(matrix)
    in_blocks = rows.clone()
    improve_rows(matrix, columns, spectrum, rows, ridge, UNOBSERVED, 3)
    improve_rows(matrix, columns, spectrum, in_blocks, ridge, UNOBSERVED, 3, row_numbers=7 * DIM)
    assert torch.allclose(in_blocks, rows, atol=1e-6)


def test_products_are_those_of_the_cells_alone(matrix: SparseMatrix) -> None:
    columns, _, rows, _ = system(matrix)
    everywhere = rows @ columns.T
    expected = everywhere[torch.from_numpy(matrix.row_of_cell), torch.from_numpy(matrix.indices.astype(np.int64))]
    assert torch.allclose(observed_products(matrix, rows, columns), expected, atol=1e-6)
