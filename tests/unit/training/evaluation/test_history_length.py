"""Of 50, 100 and 200 events, what holds nearly every history whole."""

from collections.abc import Sequence

import numpy as np
import pytest

from services.domain.evaluation_data import EvaluationData
from services.domain.event_columns import Words
from services.training.evaluation.history_length import fitting_length


@pytest.mark.parametrize(
    ("sizes", "length"),
    [
        ([5, 50], 50),
        ([5, 51], 100),
        ([50] * 95 + [900] * 5, 50),
        ([50] * 94 + [900] * 6, 200),
        ([100] * 95 + [101] * 5, 100),
        ([900], 200),
    ],
)
def test_the_smallest_length_that_holds_95_percent_of_the_histories(sizes: Sequence[int], length: int) -> None:
    codes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    users = Words(codes, [str(user) for user in range(len(sizes))])
    assert fitting_length(EvaluationData(users, users, np.zeros(len(codes), np.int64))) == length
