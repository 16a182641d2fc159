"""GF-CF: a history, smoothed over the graph of users and items. Source: Shen et al., CIKM 2021 (arXiv 2108.07567).

With R the matrix of interactions, D_U and D_I its users' and items' degrees, R~ = D_U^-1/2 R D_I^-1/2, and V the first
right singular vectors of R~, a history r (a row of R) is scored by

    r R~'R~  +  ideal_weight r D_I^-1/2 V V' D_I^1/2,

one linear filter and one that lets only the slowest waves pass. `sharpening` then takes away what a further smoothing
makes of the scores y, y - sharpening y R~'R~ (source: BSPM, Choi et al., SIGIR 2023, arXiv 2211.09324), and
`popularity_power` multiplies each item's score by a power of its degree. On held-out training items of gowalla 0.1, 0.6
and 0.1 for the three did better than GF-CF as published, which is the default: the evaluator is checked by its figures.
"""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from torch import Tensor

from services.training.data.dataset import Dataset
from services.training.kinds.interaction_matrix import (
    HALF_LIFE_DAYS,
    Doubles,
    SparseMatrix,
    history_matrix,
    interactions,
    type_weights_of,
)
from services.training.kinds.neighbours import NeighbourModel, NeighbourTable, in_blocks
from services.training.model import Capabilities, EpochReport, FitEnd, Floats, History, Table

BLOCK_CELLS: Final = 16_000_000  # of a dense matrix at a time. Larger: more memory (4 bytes each); smaller: slower
BLOCK_VECTORS: Final = 32  # larger: fewer products, each of more; smaller: slower on many cores
SPAN: Final = 4  # times the components. Larger: slower; smaller: the last ones are mixed with those after them
MIN_BLOCKS: Final = 16  # the same, where components are few


@dataclass(frozen=True, slots=True)
class GraphFilterOptions:
    num_components: int = 256
    ideal_weight: float = 0.3  # larger: tastes that many share count more; smaller: who is near in the graph does
    sharpening: float = 0.0  # larger: items that a history leads to in many ways come later; 0: GF-CF as published
    popularity_power: float = 0.0  # larger: popular items come first; 0: GF-CF as published
    half_life_days: float | None = HALF_LIFE_DAYS
    num_neighbours: int | None = 500
    """Weights of each item that are kept; None: the filter itself is applied, and serving would keep all."""
    seed: int = 0


class GraphFilter(NeighbourModel):
    """Scores items by the filtered history."""

    kind = "gf_cf"
    capabilities = Capabilities(personal=True)

    def __init__(self, options: GraphFilterOptions | None = None) -> None:
        super().__init__()
        self.options = options or GraphFilterOptions()
        self._filter: LinearFilter | None = None
        """Until only its strongest weights are kept."""

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:  # noqa: ARG002 - no epochs here
        """See TrainableModel. The same seed gives the same numbers on one machine."""
        matrix = interactions(dataset, self.options.half_life_days)
        linear = LinearFilter(matrix, self.options)
        self.type_weights = type_weights_of(dataset)
        if self.options.num_neighbours is None:
            self._filter = linear
        else:
            self._filter, self.neighbours = None, _kept(linear, self.options.num_neighbours)
        return FitEnd.COMPLETED

    def score(self, histories: Sequence[History]) -> Floats:
        """See TrainableModel."""
        if self._filter is None:
            return super().score(histories)
        rows = history_matrix(histories, self.type_weights, self._filter.num_items)
        scores: Floats = self._filter(rows.tensor().to_dense()).numpy()
        return scores  # (batch, num_items)

    def item_vectors(self) -> Floats:
        return super().item_vectors() if self._filter is None else np.empty((self._filter.num_items, 0), np.float32)

    def serving_tables(self) -> Mapping[str, Table]:
        """What each item alone scores the others."""
        if self._filter is not None:
            self.neighbours = _kept(self._filter, None)
        return super().serving_tables()

    def save(self, folder: Path) -> None:
        super().save(folder)
        self._filter = None  # what is saved scores from now on, so that `load` scores the same

    def load(self, folder: Path) -> None:
        super().load(folder)
        self._filter = None


class LinearFilter:
    """The filter of the module's head, over one matrix of interactions."""

    def __init__(self, matrix: SparseMatrix, options: GraphFilterOptions) -> None:
        user_degrees, item_degrees = _at_least_some(matrix.row_sums()), _at_least_some(matrix.column_sums())
        scales = np.sqrt(user_degrees[matrix.row_of_cell] * item_degrees[matrix.indices])
        graph = matrix.with_values(matrix.values / scales)  # R~
        self._options, self._smooth = options, Smoothing(graph)
        self._roots = torch.from_numpy(np.sqrt(item_degrees).astype(np.float32))  # D_I^1/2
        self._components = first_right_vectors(self._smooth, graph.num_columns, options)  # V

    @property
    def num_items(self) -> int:
        return len(self._roots)

    def __call__(self, rows: Tensor) -> Tensor:
        """(batch, num_items) of (batch, num_items), dense."""
        slowest = ((rows / self._roots) @ self._components) @ self._components.T * self._roots
        scores = self._smooth(rows) + self._options.ideal_weight * slowest
        if self._options.sharpening:
            scores = scores - self._options.sharpening * self._smooth(scores)
        if self._options.popularity_power:
            scores = scores * self._roots ** (2 * self._options.popularity_power)
        return scores


def _kept(linear: LinearFilter, num_neighbours: int | None) -> NeighbourTable:
    def filtered(first: int, last: int) -> Tensor:
        alone = torch.zeros(last - first, linear.num_items)
        alone[torch.arange(last - first), torch.arange(first, last)] = 1.0
        return linear(alone)

    return in_blocks(filtered, linear.num_items, max(1, BLOCK_CELLS // linear.num_items), num_neighbours)


class Smoothing:
    """Multiplies the rows of a dense matrix with R~'R~."""

    def __init__(self, graph: SparseMatrix) -> None:
        self._by_user, self._by_item = graph.tensor(), graph.transposed().tensor()

    def __call__(self, rows: Tensor) -> Tensor:
        """(batch, num_items) of (batch, num_items)."""
        return self.columns(rows.T.contiguous()).T

    def columns(self, columns: Tensor) -> Tensor:
        """(num_items, batch) of (num_items, batch)."""
        return self._by_item @ (self._by_user @ columns)


def first_right_vectors(smooth: Smoothing, num_items: int, options: GraphFilterOptions) -> Tensor:
    """V, float32 (num_items, num_components): block Lanczos from random vectors. Source: Musco & Musco, NeurIPS 2015.

    A matrix of a lower rank than num_components has fewer of them, and the rest are 0.
    """
    size = min(options.num_components, num_items)
    span = max(SPAN * size, MIN_BLOCKS * BLOCK_VECTORS)
    if num_items <= span + BLOCK_VECTORS:
        basis = torch.eye(num_items)
    else:
        random = np.random.default_rng(options.seed)
        block = torch.from_numpy(random.standard_normal((num_items, BLOCK_VECTORS), np.float32))
        basis = torch.empty((num_items, 0))
        while basis.shape[1] < span:
            for _ in range(2):  # once leaves rounding errors that grow
                block = torch.linalg.qr(block - basis @ (basis.T @ block)).Q
            basis = torch.cat((basis, block), dim=1)  # (num_items, a block more)
            block = smooth.columns(block)
    energies, axes = torch.linalg.eigh(basis.T @ smooth.columns(basis))  # ascending
    first = basis @ axes[:, -size:].flip(1)  # (num_items, size)
    is_there = energies.flip(0)[:size] > 1e-6 * energies[-1]  # what is 0 but for rounding has no meaning
    vectors: Tensor = first * is_there
    return vectors


def _at_least_some(degrees: Doubles) -> Doubles:
    return np.where(degrees > 0, degrees, 1.0)
