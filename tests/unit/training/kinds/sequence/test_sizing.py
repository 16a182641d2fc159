"""What depends on the data follows from its size by rules, unless it is said."""

from dataclasses import replace

import numpy as np
import pytest

from services.training.data.dataset import TrainingSequences
from services.training.kinds.sequence.options import EncoderOptions
from services.training.kinds.sequence.sizing import Sizes, sizes_for


def sequences(num_users: int, num_events: int) -> TrainingSequences:
    starts = np.linspace(0, num_events, num_users + 1).astype(np.int64)
    items, types = np.ones(num_events, np.int32), np.ones(num_events, np.int16)
    nothing = np.empty(0, np.int32)
    return TrainingSequences(items, types, starts[items], np.ones(num_events, np.float32), starts, nothing, nothing)


@pytest.mark.parametrize(
    ("num_users", "num_items", "num_events", "expected"),
    [
        (20_000, 12_000, 154_000, Sizes(1, 0.48, 1_283)),
        (6_000, 3_400, 990_000, Sizes(2, 0.25, 8_250)),
        (900, 100, 85_000, Sizes(2, 0.2, 1_024)),
        (10, 90, 30, Sizes(1, 0.5, 1_024)),
    ],
    ids=["sparse", "dense", "small and dense", "tiny"],
)
def test_sparse_data_is_dropped_more_and_long_histories_get_a_second_block(
    options: EncoderOptions, num_users: int, num_items: int, num_events: int, expected: Sizes
) -> None:
    unsaid = replace(options, num_blocks=None, input_dropout=None, batch_events=None)
    assert sizes_for(unsaid, sequences(num_users, num_events), num_items) == expected


def test_what_is_said_is_what_counts(options: EncoderOptions) -> None:
    """Also 0, which is not nothing."""
    said = replace(options, num_blocks=3, input_dropout=0.0, batch_events=7)
    assert sizes_for(said, sequences(10, 100), 10) == Sizes(3, 0.0, 7)
