"""Ridge regressions, one for each row of a sparse matrix and many at a time: the half steps of implicit ALS.

Row r has the cells c and, in `other`, their vectors H (num_cells, dim). Its factor w minimises

    sum over its cells of c (h.w - 1)^2  +  unobserved |other w|^2  +  ridge[r] |w|^2.

Rows with few cells are solved exactly by the inverse of a matrix of cells x cells (Woodbury), which needs a diagonal
Gram matrix of `other`: `rotated` makes it one. Rows with more cells improve block by block of their dimensions, from
the factor they had: the iALS++ step, arXiv 2110.14044, and exact when one block holds all.
"""

from collections.abc import Iterator
from typing import Final

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from services.features.history import Rows
from services.training.kinds.interaction_matrix import SparseMatrix

Flags = npt.NDArray[np.bool_]

SLACK: Final = 4  # larger: many small batches; smaller: up to a share of 1 / SLACK of a batch is padding
BATCH_NUMBERS: Final = 8_000_000  # gathered at a time. Larger: more memory (4 bytes each, a few times); smaller: slower


def rotated(fixed: Tensor, moving: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Both sides in the principal axes of `fixed`, and its Gram matrix, now a diagonal (dim,); products stay."""
    gram = (fixed.T @ fixed).double()
    spectrum, axes = torch.linalg.eigh(gram)
    axes = axes.float()
    return fixed @ axes, moving @ axes, spectrum.float().clamp_min(0.0)


def solve_rows(
    matrix: SparseMatrix,
    other: Tensor,
    spectrum: Tensor,
    factors: Tensor,
    ridge: Tensor,
    unobserved: float,
    block_dim: int,
) -> None:
    """Moves `factors` (num_rows, dim) in place; see above. A row without cells stays as it is.

    other: (num_columns, dim), whose Gram matrix is diag(spectrum). ridge: (num_rows,), above 0.
    """
    device, dim = factors.device, factors.shape[1]
    for rows, places, is_cell in _batches(matrix, dim):
        which = torch.from_numpy(rows).to(device)
        there = torch.from_numpy(is_cell).to(device)
        columns = torch.from_numpy(matrix.indices[places].astype(np.int64)).to(device)  # (batch, length)
        values = torch.from_numpy(matrix.values[places]).to(device) * there  # (batch, length)
        vectors = other[columns]  # (batch, length, dim)
        diagonal = unobserved * spectrum + ridge[which].unsqueeze(1)  # (batch, dim)
        if places.shape[1] <= dim // 2:
            factors[which] = _by_cells(vectors, values, diagonal)
        else:
            factors[which] = _by_blocks(vectors, values, diagonal, factors[which], block_dim)


def _by_cells(vectors: Tensor, values: Tensor, diagonal: Tensor) -> Tensor:
    """(batch, dim): D^-1 H' z, where (C^-1 + H D^-1 H') z = 1. A place without a cell has no vector, and z of 1."""
    is_cell = values > 0
    scaled = vectors.mul_(is_cell.unsqueeze(2)).mul_(diagonal.rsqrt().unsqueeze(1))  # (batch, length, dim)
    kernel = scaled @ scaled.transpose(1, 2)  # (batch, length, length)
    kernel.diagonal(dim1=1, dim2=2).add_(torch.where(is_cell, 1 / values, 1.0))
    ones = torch.ones_like(values).unsqueeze(2)
    solved = torch.cholesky_solve(ones, torch.linalg.cholesky(kernel))  # (batch, length, 1)
    return (scaled.transpose(1, 2) @ solved).squeeze(2) * diagonal.rsqrt()


def _by_blocks(vectors: Tensor, values: Tensor, diagonal: Tensor, factors: Tensor, block_dim: int) -> Tensor:
    """(batch, dim): one Newton step for each block of dimensions, each knowing of those before it."""
    factors = factors.clone()
    errors = (vectors @ factors.unsqueeze(2)).squeeze(2) - 1.0  # (batch, length)
    for first in range(0, factors.shape[1], block_dim):
        block = slice(first, first + block_dim)
        part = vectors[:, :, block]  # (batch, length, block)
        weighted = part * values.unsqueeze(2)
        curvature = part.transpose(1, 2) @ weighted  # (batch, block, block)
        curvature.diagonal(dim1=1, dim2=2).add_(diagonal[:, block])
        slope = (weighted * errors.unsqueeze(2)).sum(1) + diagonal[:, block] * factors[:, block]  # (batch, block)
        step = torch.cholesky_solve(slope.unsqueeze(2), torch.linalg.cholesky(curvature)).squeeze(2)
        factors[:, block] -= step
        errors -= (part @ step.unsqueeze(2)).squeeze(2)
    return factors


def _batches(matrix: SparseMatrix, dim: int) -> Iterator[tuple[Rows, Rows, Flags]]:
    """Rows of like length together: (rows (batch,), places of their cells (batch, length), which of them are cells)."""
    counts = matrix.row_counts
    order = np.argsort(counts, kind="stable")
    lengths = counts[order]
    first = int(np.searchsorted(lengths, 0, side="right"))
    while first < len(order):
        shortest = int(lengths[first])
        longest = shortest + shortest // SLACK + 4
        if shortest <= dim // 2:
            longest = min(longest, dim // 2)  # both ways of solving do not share a batch
        length = min(longest, int(lengths[-1]))
        fitting = first + max(1, BATCH_NUMBERS // (length * dim))
        last = min(fitting, int(np.searchsorted(lengths, length, side="right")))
        rows = order[first:last]
        is_cell = np.arange(length) < lengths[first:last, np.newaxis]  # (batch, length)
        places = np.where(is_cell, matrix.indptr[rows, np.newaxis] + np.arange(length), 0)
        yield rows, places, is_cell
        first = last
