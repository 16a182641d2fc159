"""How much of a history a model looks at where nobody says so: enough for nearly everybody, and no more."""

from typing import Final

import numpy as np

from services.domain.evaluation_data import EvaluationData

LENGTHS: Final = (50, 100, 200)  # what papers use: 50 where histories are short, 200 where they are long
SHARE: Final = 0.95  # larger: a few long histories make all slow; smaller: many lose their beginning


def fitting_length(data: EvaluationData) -> int:
    """The smallest of LENGTHS that holds SHARE of the histories whole, else the largest."""
    sizes = np.bincount(data.users.codes)
    enough = (length for length in LENGTHS if np.mean(sizes <= length) >= SHARE)
    return next(enough, LENGTHS[-1])
