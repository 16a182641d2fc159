"""Item vectors to start from: which items follow closely on one another, factorised in a closed form.

A start from noise must learn from gradients what counting shows in seconds. Source: Levy & Goldberg, NIPS 2014, with
contexts weighted by their distance and smoothed as in Levy, Goldberg & Dagan, TACL 2015.
"""

from typing import Final

import numpy as np
import torch
from torch import Tensor

from services.training.data.dataset import TrainingSequences

WINDOW: Final = 5  # larger: what belongs together loosely; smaller: rare items have no neighbours
CONTEXT_POWER: Final = 0.75  # larger: rare contexts dominate; smaller: popular ones do
MAX_PAIRS: Final = 200_000_000  # a bound on memory, 24 bytes each; above it, every so many-th event is a centre


def cooccurrence_vectors(sequences: TrainingSequences, num_items: int, dim: int, seed: int) -> Tensor:
    """Vectors float32 (num_items + 1, dim), centred, of deviation 1; zero for an item without neighbours.

    The left singular vectors, times the roots of the singular values, of the positive pointwise mutual information.
    """
    size = num_items + 1
    torch.sparse.check_sparse_tensor_invariants.disable()  # type: ignore[no-untyped-call] # the default; said, no warning
    counts = company(sequences, size)
    (rows, columns), values = counts.indices(), counts.values()
    if len(values) == 0:
        return torch.zeros(size, dim)
    of_row = torch.zeros(size).index_add_(0, rows, values)
    of_context = of_row**CONTEXT_POWER
    information = torch.log(values * of_context.sum() / (of_row[rows] * of_context[columns])).clamp(min=0)
    matrix = torch.sparse_coo_tensor(counts.indices(), information, (size, size)).coalesce()
    rank = min(dim, size - 1)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        left, singular, _ = torch.svd_lowrank(matrix, q=min(rank + 16, size), niter=4)
    vectors = torch.zeros(size, dim)
    vectors[:, :rank] = left[:, :rank] * singular[:rank].sqrt()
    has_neighbours = of_row > 0
    vectors[has_neighbours] -= vectors[has_neighbours].mean(dim=0)
    deviation = vectors[has_neighbours].std()
    return vectors / deviation if deviation > 0 else vectors


def company(sequences: TrainingSequences, size: int) -> Tensor:
    """How often two items stand near each other in a history, closer ones counting more; sparse (size, size)."""
    items = torch.from_numpy(sequences.items.astype(np.int64))
    owners = torch.from_numpy(sequences.user_rows)
    counts = torch.sparse_coo_tensor(torch.zeros(2, 0, dtype=torch.int64), torch.zeros(0), (size, size))
    step = max(1, 2 * WINDOW * len(items) // MAX_PAIRS)
    for lag in range(1, WINDOW + 1):
        together = (owners[:-lag] == owners[lag:])[::step]
        first, second = items[:-lag][::step][together], items[lag:][::step][together]
        pairs = torch.stack((torch.cat((first, second)), torch.cat((second, first))))
        counts = (
            counts + torch.sparse_coo_tensor(pairs, torch.full((pairs.shape[1],), 1 / lag), (size, size))
        ).coalesce()
    return counts
