"""What is old counts less, where users share a clock."""

from dataclasses import replace

import pytest

from services.training.data.dataset import Dataset
from services.training.kinds.sequence.recency import DAY_US, recent


def test_an_event_counts_half_after_a_half_life_and_hardly_counting_ones_are_not_asked_for(planted: Dataset) -> None:
    """Ten days a half-life: events of 0, 10 and 100 days ago count whole, half, and not at all."""
    sequences = planted.sequences
    num_targets = len(sequences.wanted)
    times_us = sequences.times_us.copy()
    end_us = 200 * DAY_US
    times_us[:] = end_us - 10 * DAY_US
    times_us[sequences.wanted[0]], times_us[sequences.wanted[1]] = end_us, end_us - 100 * DAY_US
    found = recent(replace(sequences, times_us=times_us), end_us, 10.0)
    assert len(found.wanted) == num_targets - 1
    assert found.weights[sequences.wanted[0]] == pytest.approx(1.0)
    assert found.weights[sequences.wanted[2]] == pytest.approx(0.5)
    assert sequences.wanted[1] not in found.wanted
    assert len(found.items) == len(sequences.items), "context stays"


def test_without_a_clock_or_a_half_life_all_count_alike(planted: Dataset) -> None:
    assert recent(planted.sequences, None, 10.0) is planted.sequences
    assert recent(planted.sequences, 10**18, None) is planted.sequences


def test_where_all_is_old_it_is_all_there_is(planted: Dataset) -> None:
    assert recent(planted.sequences, 10**18, 1.0) is planted.sequences
