"""How far lists differ, by hand."""

import numpy as np
import pytest

from services.training.evaluation.ranking import NOTHING
from services.training.judging.against import changed_share


@pytest.mark.parametrize(
    ("lists", "before", "share"),
    [
        ([[1, 2]], [[2, 1]], 0.0),
        ([[1, 2]], [[1, 3]], 0.5),
        ([[1, 2], [5, 6]], [[3, 4], [5, 6]], 0.5),
        ([[1, NOTHING]], [[2, NOTHING]], 1.0),
        ([[1, NOTHING]], [[1, 2]], 0.0),
        ([[NOTHING, NOTHING], [1, 2]], [[1, 2], [1, 9]], 0.5),
        ([[NOTHING, NOTHING]], [[1, 2]], 0.0),
    ],
    ids=["another order", "one of two", "one list", "places of none", "fewer", "an empty list", "nothing shown"],
)
def test_the_share_of_what_is_shown_that_was_not(lists: list[list[int]], before: list[list[int]], share: float) -> None:
    assert changed_share(np.array(lists), np.array(before)) == share
