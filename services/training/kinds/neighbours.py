"""Kinds that learn weights from item to item, and score by summing those of a history: `domain.scoring.Neighbours`.

Of each item the weights of the largest size are kept, so that the tables are of a bounded size. The model is measured
with what it keeps, since that is what serves.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor

from services.domain.scoring import Neighbours
from services.training.model import STATE, Floats, History, Table


class NeighbourTable(NamedTuple):
    """Line r - 1 says on which items item row r weighs, and how much; both (num_items, k)."""

    rows: npt.NDArray[np.int32]
    """Item rows; 0 fills a line."""
    weights: Floats
    """Of any sign; 0 where a line is filled."""


NOTHING_LEARNED = NeighbourTable(np.empty((0, 0), np.int32), np.empty((0, 0), np.float32))


class NeighbourModel:
    """What these kinds have in common: all but `fit`. A history that speaks for no item scores 0 throughout."""

    dim = 0

    def __init__(self) -> None:
        self.neighbours = NOTHING_LEARNED
        self.type_weights: Floats = np.empty(0, np.float32)
        """(num_types + 1,), see `interaction_matrix.type_weights_of`."""

    def score(self, histories: Sequence[History]) -> Floats:
        """See TrainableModel; to the last bit as serving does."""
        neighbours = Neighbours(*self.neighbours, self.type_weights)
        return np.stack([neighbours.scores(history) for history in histories])  # (batch, num_items)

    def encode_users(self, histories: Sequence[History]) -> Floats:
        return np.empty((len(histories), 0), np.float32)

    def item_vectors(self) -> Floats:
        return np.empty((len(self.neighbours.rows), 0), np.float32)

    def serving_tables(self) -> Mapping[str, Table]:
        return {
            "neighbour_rows": self.neighbours.rows,
            "neighbour_weights": self.neighbours.weights,
            "type_weights": self.type_weights,
        }

    def encoder_onnx(self) -> None:
        return None

    def save(self, folder: Path) -> None:
        save_file(dict(self.serving_tables()), folder / STATE)

    def load(self, folder: Path) -> None:
        state = load_file(folder / STATE)
        self.neighbours = NeighbourTable(state["neighbour_rows"], state["neighbour_weights"])
        self.type_weights = state["type_weights"]


def strongest(weights: Tensor, num_neighbours: int | None) -> NeighbourTable:
    """The weights of the largest size of each line; weights: (num_lines, num_items), 0 where there is none.

    None: all.
    """
    places = torch.topk(weights.abs(), _num_kept(weights.shape[1], num_neighbours), dim=1).indices  # (num_lines, k)
    kept = torch.gather(weights, 1, places).numpy()
    return NeighbourTable(np.where(kept != 0, places.numpy() + 1, 0).astype(np.int32), kept)


def in_blocks(
    weights: Callable[[int, int], Tensor], num_items: int, block: int, num_neighbours: int | None
) -> NeighbourTable:
    """As `strongest`, of lines that are made `block` at a time: weights(first, last), (last - first, num_items)."""
    shape = (num_items, _num_kept(num_items, num_neighbours))
    # Made beforehand: small tables that stay between large ones that go would hold all of the heap (6 GB of 41,000).
    table = NeighbourTable(np.zeros(shape, np.int32), np.zeros(shape, np.float32))
    for first in range(0, num_items, block):
        last = min(first + block, num_items)
        table.rows[first:last], table.weights[first:last] = strongest(weights(first, last), num_neighbours)
    return table


def _num_kept(num_items: int, num_neighbours: int | None) -> int:
    return num_items if num_neighbours is None else min(num_neighbours, num_items)
