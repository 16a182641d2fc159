"""Item-kNN: items are alike when the same users took to both. Source: Sarwar et al., WWW 2001; Aiolli, RecSys 2013."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
import torch
from torch import Tensor

from services.training.data.dataset import Dataset
from services.training.kinds.interaction_matrix import HALF_LIFE_DAYS, SparseMatrix, interactions, type_weights_of
from services.training.kinds.neighbours import NeighbourModel, NeighbourTable, in_blocks
from services.training.model import Capabilities, EpochReport, FitEnd

BLOCK_CELLS: Final = (
    8_000_000  # similarities at a time. Larger: more memory (8 bytes each, a few times); smaller: slower
)


@dataclass(frozen=True, slots=True)
class ItemKnnOptions:
    num_neighbours: int = 100  # larger: what is hardly alike counts too; smaller: few items are ever scored
    shrinkage: float = 10.0  # larger: items that few users took to have no close neighbours; smaller: chance makes them
    half_life_days: float | None = HALF_LIFE_DAYS


class ItemKnn(NeighbourModel):
    """Scores an item by how like the history's items it is: the cosine of their columns, shrunk."""

    kind = "item_knn"
    capabilities = Capabilities(personal=True)

    def __init__(self, options: ItemKnnOptions | None = None) -> None:
        super().__init__()
        self.options = options or ItemKnnOptions()

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:  # noqa: ARG002 - no epochs here
        """See TrainableModel."""
        matrix = interactions(dataset, self.options.half_life_days)
        self.neighbours = _neighbours(matrix, self.options)
        self.type_weights = type_weights_of(dataset)
        return FitEnd.COMPLETED


def _neighbours(matrix: SparseMatrix, options: ItemKnnOptions) -> NeighbourTable:
    """Those of some items at a time, so that no table of items x items is ever held."""
    columns, num_items = matrix.transposed(), matrix.num_columns
    squares = columns.with_values(columns.values.astype(np.float64) ** 2).row_sums()
    norms = torch.from_numpy(np.sqrt(squares).astype(np.float32))  # (num_items,)

    def alike(first: int, last: int) -> Tensor:
        common = torch.from_numpy(matrix.common(columns, first, last))  # (block, num_items)
        common[torch.arange(last - first), torch.arange(first, last)] = 0.0  # nobody is their own neighbour
        # The smallest divisor is for items nobody took to, without shrinkage.
        return common.div_((torch.outer(norms[first:last], norms) + options.shrinkage).clamp_min_(1e-12))

    return in_blocks(alike, num_items, max(1, BLOCK_CELLS // num_items), options.num_neighbours)
