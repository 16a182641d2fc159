"""Of 50, 100 and 200 events, what holds nearly every history whole; all of it where the order does not matter."""

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
def test_a_sequence_is_cut_where_95_percent_of_the_histories_are_whole(sizes: Sequence[int], length: int) -> None:
    assert fitting_length(histories_of(sizes), ordered=True) == length


def test_a_kind_that_looks_at_no_order_gets_every_history_whole() -> None:
    assert fitting_length(histories_of([5, 900]), ordered=False) == 900
    assert fitting_length(histories_of([5, 7]), ordered=False) == 7


def histories_of(sizes: Sequence[int]) -> EvaluationData:
    codes = np.repeat(np.arange(len(sizes), dtype=np.int32), sizes)
    users = Words(codes, [str(user) for user in range(len(sizes))])
    return EvaluationData(users, users, np.zeros(len(codes), np.int64))
