"""How much of a history a model looks at where nobody says so: enough for nearly everybody, and no more."""

from typing import Final

import numpy as np

from services.domain.evaluation_data import EvaluationData

LENGTHS: Final = (50, 100, 200)  # what papers use: 50 where histories are short, 200 where they are long
SHARE: Final = 0.95  # larger: a few long histories make all slow; smaller: many lose their beginning


def fitting_length(data: EvaluationData, *, ordered: bool) -> int:
    """The smallest of LENGTHS that holds SHARE of the histories whole, else the largest.

    ordered: whether the kind reads a history as a sequence. One that does not gets every history whole, as in the
    tables it is compared with.
    """
    sizes = np.bincount(data.users.codes)
    if not ordered:
        return int(sizes.max())
    enough = (length for length in LENGTHS if np.mean(sizes <= length) >= SHARE)
    return next(enough, LENGTHS[-1])
