"""EASE: the linear autoencoder whose best weights have a closed form. Source: Steck, WWW 2019 (arXiv 1905.03375).

One number decides nearly everything and fitting is one inverse, but of a matrix of items x items.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import torch
from torch import Tensor

from services.domain.errors import TrainingFailed
from services.training.data.dataset import Dataset
from services.training.kinds.interaction_matrix import HALF_LIFE_DAYS, SparseMatrix, interactions, type_weights_of
from services.training.kinds.neighbours import NeighbourModel, strongest
from services.training.model import Capabilities, EpochReport, FitEnd

MAX_ITEMS: Final = 20_000  # a matrix of so many takes 1.6 GB, and fitting holds about three, growing by the square
BLOCK_ITEMS: Final = 200  # larger: more memory (8 bytes a cell); smaller: slower


@dataclass(frozen=True, slots=True)
class EaseOptions:
    l2: float = 250.0  # larger: only pairs of items that are often together count; smaller: chance makes pairs
    half_life_days: float | None = HALF_LIFE_DAYS
    num_neighbours: int | None = 500
    """Weights of each item that are kept; None: all."""


class Ease(NeighbourModel):
    """Scores an item by the learned weights of the history's items on it."""

    kind = "ease"
    capabilities = Capabilities(personal=True, max_items=MAX_ITEMS)

    def __init__(self, options: EaseOptions | None = None) -> None:
        super().__init__()
        self.options = options or EaseOptions()

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:  # noqa: ARG002 - no epochs here
        """See TrainableModel."""
        max_items = self.capabilities.max_items
        if max_items is not None and dataset.num_items > max_items:
            raise TrainingFailed(
                f"EASE inverts a matrix of items by items and takes at most {max_items:,} of them, but this catalogue "
                f"has {dataset.num_items:,}; train the kind ials or item_knn instead."
            )
        weights = ease_weights(interactions(dataset, self.options.half_life_days), self.options.l2)
        self.neighbours = strongest(weights, self.options.num_neighbours)
        self.type_weights = type_weights_of(dataset)
        return FitEnd.COMPLETED


def ease_weights(matrix: SparseMatrix, l2: float) -> Tensor:
    """B = I - P diag(1 / diag P), where P = (X'X + l2 I)^-1; float32 (num_items, num_items), from row to column."""
    device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
    columns, num_items = matrix.transposed(), matrix.num_columns
    gram = torch.empty((num_items, num_items), device=device)
    for first in range(0, num_items, BLOCK_ITEMS):
        last = min(first + BLOCK_ITEMS, num_items)
        gram[first:last] = torch.from_numpy(matrix.common(columns, first, last))
    gram.diagonal().add_(l2)
    factor, failed = torch.linalg.cholesky_ex(gram)
    if int(failed):
        raise TrainingFailed(f"EASE cannot invert X'X + {l2:g} I in float32; raise its l2.")
    weights = torch.cholesky_inverse(factor)
    weights /= -weights.diagonal().clone()  # each column by its own diagonal
    weights.fill_diagonal_(0.0)
    return weights.cpu()
