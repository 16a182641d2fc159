"""Ranking metrics with one relevant item per event, and the interval of a difference. Knows arrays only.

A rank counts from 0; MISS stands for a target that is in no list. Source of NDCG: Järvelin & Kekäläinen, 2002; with one
relevant item the ideal gain is 1, so NDCG@k = 1 / log2(rank + 2) within the first k, else 0.
"""

from typing import Final

import numpy as np
import numpy.typing as npt

from services.domain.models import Interval

MISS: Final = np.iinfo(np.int64).max
BLOCK_CELLS: Final = 4_000_000  # larger: more memory for drawn users (32 MB here); smaller: more trips round the loop

Ints = npt.NDArray[np.int64]
Doubles = npt.NDArray[np.float64]


def hits(ranks: Ints, k: int) -> Doubles:
    """1.0 where the target is among the first k. Its mean is HR@k, and Recall@k too: there is one relevant item."""
    return (ranks < k).astype(np.float64)


def ndcg(ranks: Ints, k: int) -> Doubles:
    """NDCG@k of each event, float64 (num_events,)."""
    return np.where(ranks < k, 1.0 / np.log2(np.minimum(ranks, k) + 2.0), 0.0)


def coverage(top_items: Ints, num_items: int) -> float:
    """The share of all items that appear in somebody's list; top_items: rows or indices of any shape."""
    return len(np.unique(top_items)) / num_items


def bootstrap_mean(
    values: Doubles, user_rows: Ints, *, num_resamples: int, seed: int, confidence: float = 0.95
) -> Interval:
    """The percentile interval of the mean of `values`, resampling users with all their events.

    values: one figure an event; for a paired comparison, the difference of the two models on that event. Users are
    what is drawn because the events of one user are not independent; of one user the interval has no width, so the
    gate asks for enough of them. Source: Efron & Tibshirani, 1993, chapter 13.
    """
    users, members = np.unique(user_rows, return_inverse=True)
    sums, counts = np.bincount(members, weights=values), np.bincount(members)
    random, means = np.random.default_rng(seed), []
    block = max(1, BLOCK_CELLS // len(users))
    for first in range(0, num_resamples, block):
        drawn = random.integers(len(users), size=(min(block, num_resamples - first), len(users)))
        means.append(sums[drawn].sum(axis=1) / counts[drawn].sum(axis=1))
    low, high = np.quantile(np.concatenate(means), [(1 - confidence) / 2, (1 + confidence) / 2])
    return Interval(float(low), float(high))
