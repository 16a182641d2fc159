"""How long after one another events came, on a scale that training and serving share."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from services.domain.history_input import NUM_GAP_ROWS, gap_rows

SECOND_US = 1_000_000


def test_the_rows_are_powers_of_two_of_seconds() -> None:
    """After 0, 1, 2, 3, 6, 7 seconds: rows 1, 2, 2, 3, 3, 4; the first event has none before it."""
    gaps_s = [0, 1, 2, 3, 6, 7]
    times_us = np.cumsum([5, *gaps_s]) * SECOND_US
    assert gap_rows(times_us).tolist() == [0, 1, 2, 2, 3, 3, 4]


def test_centuries_share_the_last_row() -> None:
    assert gap_rows(np.array([0, 10**17])).tolist() == [0, NUM_GAP_ROWS - 1]


@given(st.lists(st.integers(0, 2**62), max_size=9).map(sorted))
def test_a_longer_gap_never_has_a_smaller_row(times_us: list[int]) -> None:
    rows, gaps = gap_rows(np.array(times_us, np.int64)), np.diff(np.array(times_us, np.int64))
    assert len(rows) == len(times_us)
    assert all(0 <= row < NUM_GAP_ROWS for row in rows)
    order = np.argsort(gaps, kind="stable")
    assert (np.diff(rows[1:][order]) >= 0).all()
