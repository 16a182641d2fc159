"""Two models on the same questions: how much better one is, and how sure that is."""

from dataclasses import dataclass

import numpy as np

from services.domain.models import Interval
from services.training.evaluation.intervals import bootstrap_mean
from services.training.evaluation.metrics import Doubles, Ints


@dataclass(frozen=True, slots=True)
class Gain:
    """How much the first is above the second, in the metric's own unit."""

    mean: float
    interval: Interval
    """95%, resampling users with all their questions. Holds 0: chance may be all there is to it."""
    num_better: int
    """Questions that the first answered better, and worse; the rest are ties."""
    num_worse: int


def gain(first: Doubles, second: Doubles, user_rows: Ints, *, seed: int) -> Gain:
    """Compares figures of the same questions, pair by pair; all (num_questions,), at least one.

    Paired, since what makes a question hard is mostly in the question: differences vary far less than the figures.
    """
    if not len(first) == len(second) == len(user_rows):
        raise ValueError(f"{len(first)} figures cannot be paired with {len(second)}")
    differences = first - second
    return Gain(
        mean=float(differences.mean()),
        interval=bootstrap_mean(differences, user_rows, seed=seed),
        num_better=int(np.count_nonzero(differences > 0)),
        num_worse=int(np.count_nonzero(differences < 0)),
    )
