"""How sure a mean is: bootstrap intervals that draw users, since the events of one user are not independent."""

from typing import Final

import numpy as np

from services.domain.models import Interval
from services.training.evaluation.metrics import Doubles, Ints

BLOCK_CELLS: Final = 4_000_000  # larger: more memory for drawn users (32 MB here); smaller: more trips round the loop
NUM_RESAMPLES: Final = 2_000  # larger: seconds of waiting; smaller: the interval's ends wobble in their second digit


def bootstrap_mean(
    values: Doubles, user_rows: Ints, *, num_resamples: int = NUM_RESAMPLES, seed: int, confidence: float = 0.95
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
