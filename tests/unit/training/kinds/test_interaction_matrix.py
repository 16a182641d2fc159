"""Who took to what, from events and from histories: the same reading, held against cases worked by hand."""

import numpy as np
import pytest

from services.domain.errors import NotEnoughData
from services.training.kinds import interaction_matrix
from services.training.kinds.interaction_matrix import (
    DAY_US,
    SparseMatrix,
    history_matrix,
    interactions,
    type_weights_of,
)
from services.training.model import History
from tests.unit.training.kinds.small_data import CART, DISLIKE, VIEW, Doubles, dataset_of, random_dataset


def dense(matrix: SparseMatrix) -> Doubles:
    table = np.zeros((matrix.num_rows, matrix.num_columns))
    table[matrix.row_of_cell, matrix.indices] = matrix.values
    return table


def test_a_pair_is_there_when_its_newest_event_that_takes_a_side_is_positive() -> None:
    """Ann: a seen twice, b disliked in the end, c liked in the end. Bob: a strongest as it was carted; d disliked."""
    dataset = dataset_of(
        [
            ("ann", "a", "view"), ("ann", "a", "view"), ("ann", "b", "cart"), ("ann", "b", "dislike"),
            ("ann", "c", "dislike"), ("ann", "c", "view"),
            ("bob", "a", "cart"), ("bob", "a", "view"), ("bob", "d", "dislike"),
        ]
    )  # fmt: skip
    assert dense(interactions(dataset)).tolist() == [[1, 0, 1, 0], [3, 0, 0, 0]]


def test_histories_are_read_as_the_events_are() -> None:
    """Random events of all kinds, many of the same pair: both ways give the same matrix."""
    random = np.random.default_rng(2)
    kinds = ["view", "cart", "dislike", "impression"]
    drawn = zip(random.integers(9, size=900), random.integers(12, size=900), random.integers(4, size=900), strict=True)
    dataset = dataset_of([(f"user-{user}", f"item-{item:02d}", kinds[kind]) for user, item, kind in drawn])
    histories = [dataset.histories.as_of(user, 1_000, 10_000) for user in range(9)]
    matrix, weights = interactions(dataset), type_weights_of(dataset)
    assert np.array_equal(dense(history_matrix(histories, weights, dataset.num_items)), dense(matrix))
    assert 0 < len(matrix.values) < 9 * 12


def test_event_types_weigh_as_they_were_judged_and_unseen_ones_by_their_sign() -> None:
    weights = type_weights_of(dataset_of([("ann", "a", "cart"), ("bob", "b", "view")]))
    assert weights.dtype == np.float32
    assert weights[[0, VIEW, CART, DISLIKE]].tolist() == [0, 1, 3, -1]
    purchase = 5
    assert weights[purchase] == 1  # it was declared to weigh 5, but nobody purchased


def test_a_pair_counts_half_at_the_half_life_where_users_share_a_clock() -> None:
    """Of ann's a the newest view counts, a microsecond ago; the others are two and three microseconds old."""
    events = [("bob", "b", "view"), ("ann", "b", "view"), ("ann", "a", "view")]
    half_life_days = 1 / DAY_US
    aged = interactions(dataset_of(events, {"cut_us": 3}), half_life_days)
    assert dense(aged).tolist() == [[0, 1 / 8], [1 / 2, 1 / 4]]
    assert dense(interactions(dataset_of(events), half_life_days)).tolist() == [[0, 1], [1, 1]]


@pytest.mark.parametrize("pairs", [1, 50, 10**6])
def test_its_parts_products_and_transposed_are_those_of_the_dense_matrix(
    monkeypatch: pytest.MonkeyPatch, pairs: int
) -> None:
    """However many pairs are counted at a time."""
    monkeypatch.setattr(interaction_matrix, "PAIRS", pairs)
    dataset, expected = random_dataset(40, 23, 0.2)
    matrix = interactions(dataset)
    values = np.random.default_rng(0).random(len(matrix.values)).astype(np.float32)
    matrix, expected = matrix.with_values(values), dense(matrix.with_values(values))
    columns = matrix.transposed()
    assert np.array_equal(dense(columns), expected.T)
    assert np.array_equal(dense(matrix.rows(7, 30)), expected[7:30])
    assert np.array_equal(matrix.tensor().to_dense().numpy(), expected.astype(np.float32))
    assert np.allclose(matrix.common(columns, 4, 19), (expected.T @ expected)[4:19], rtol=1e-5)
    assert np.allclose(matrix.row_sums(), expected.sum(1))
    assert np.allclose(matrix.column_sums(), expected.sum(0))


def test_no_positive_pair_is_not_enough() -> None:
    taken_back = [("ann", "a", "view"), ("bob", "b", "view"), ("ann", "a", "dislike"), ("bob", "b", "dislike")]
    with pytest.raises(NotEnoughData, match="liked"):
        interactions(dataset_of(taken_back))


def test_a_history_that_speaks_for_nothing_is_an_empty_row() -> None:
    weights = type_weights_of(dataset_of([("ann", "a", "view"), ("bob", "b", "view")]))
    disliked = History(np.array([1]), np.array([DISLIKE]), np.array([0]))
    viewed = History(np.array([2, 2]), np.array([VIEW, VIEW]), np.array([0, 1]))
    assert dense(history_matrix([disliked, viewed], weights, 2)).tolist() == [[0, 0], [0, 1]]
