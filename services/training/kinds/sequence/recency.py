"""How much a target counts by its age: last week's choices say more of next week than last year's do.

Only where users share a clock; elsewhere nobody can say how old anything is.
"""

from dataclasses import replace
from typing import Final

import numpy as np

from services.training.data.dataset import TrainingSequences

DAY_US: Final = 86_400_000_000
LEAST_SHARE: Final = 0.01  # larger: faster, and last season is gone; smaller: slower for what hardly counts


def recent(sequences: TrainingSequences, end_us: int | None, half_life_days: float | None) -> TrainingSequences:
    """The sequences with each event's weight halved for every half-life before the end of what is learned from.

    What counts less than LEAST_SHARE is not asked for any more; it stays as context. None, in either place: all count
    alike.
    """
    if half_life_days is None or end_us is None:
        return sequences
    ages_days = np.maximum(end_us - sequences.times_us, 0) / DAY_US
    shares = (0.5 ** (ages_days / half_life_days)).astype(np.float32)
    asked_for = shares[sequences.wanted] >= LEAST_SHARE
    if not asked_for.any():
        return sequences
    return replace(
        sequences,
        weights=sequences.weights * shares,
        asked=sequences.asked[asked_for],
        wanted=sequences.wanted[asked_for],
    )
