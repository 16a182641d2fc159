import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import BundleBroken
from services.inference.excluded import NOTHING
from services.inference.retrieval import ItemIndex, top_k
from tests.unit.inference.conftest import VECTORS
from tests.unit.inference.excluding import excluded_in_two_parts, excluded_of

# Few different scores, so that ties at the cut are the rule.
score_lists = st.lists(st.integers(-3, 3).map(float), min_size=1, max_size=40)


@given(score_lists, st.integers(0, 50), st.data())
def test_top_k_equals_brute_force_with_ties_in_order_of_position(
    scores: list[float], k: int, data: st.DataObject
) -> None:
    excluded = data.draw(st.sets(st.integers(1, len(scores))))
    found = top_k(np.array(scores, dtype=np.float32), k, data.draw(excluded_in_two_parts(excluded, len(scores))))
    eligible = [position for position in range(len(scores)) if position + 1 not in excluded]
    assert found.tolist() == sorted(eligible, key=lambda position: (-scores[position], position))[:k]


def test_top_k_leaves_the_scores_as_they_are() -> None:
    scores = np.array([3.0, 2.0, 1.0], dtype=np.float32)
    top_k(scores, 2, excluded_of({1}))
    assert scores.tolist() == [3.0, 2.0, 1.0]


@given(st.lists(st.integers(0, 3).map(float), min_size=1, max_size=20), st.integers(1, 25), st.data())
def test_popular_items_equal_brute_force(popularity: list[float], k: int, data: st.DataObject) -> None:
    rows = range(1, len(popularity) + 1)
    excluded = data.draw(st.sets(st.sampled_from(rows)))
    index = ItemIndex(np.zeros((len(popularity), 0), dtype=np.float32), np.array(popularity, dtype=np.float32))
    found, scores = index.popular(k, data.draw(excluded_in_two_parts(excluded, len(popularity))))
    expected = sorted((row for row in rows if row not in excluded), key=lambda row: (-popularity[row - 1], row))[:k]
    assert found.tolist() == expected
    assert scores.tolist() == [popularity[row - 1] for row in expected]


def test_best_ranks_by_inner_product_without_the_excluded() -> None:
    index = ItemIndex(VECTORS, np.zeros(6, dtype=np.float32))
    rows, scores = index.best(np.array([3, 1], dtype=np.float32), 3, excluded_of({2}))
    assert rows.tolist() == [1, 3, 4]
    assert scores.tolist() == [6.0, 2.0, 1.0]


def test_similar_items_go_by_cosine_and_leave_the_item_itself_out() -> None:
    index = ItemIndex(VECTORS, np.zeros(6, dtype=np.float32))
    rows, cosines = index.similar(2, 5, NOTHING)
    assert rows.tolist() == [1, 3, 4, 6, 5]
    assert cosines.tolist() == [1.0, 0.0, 0.0, 0.0, -1.0]


@pytest.mark.parametrize("excluded", [{1, 5}, {5, 2, 1}], ids=["others", "the item itself too"])
def test_similar_items_leave_out_the_excluded(excluded: set[int]) -> None:
    index = ItemIndex(VECTORS, np.zeros(6, dtype=np.float32))
    assert index.similar(2, 5, excluded_of(excluded))[0].tolist() == [3, 4, 6]


def test_an_item_without_direction_is_similar_to_nothing() -> None:
    vectors = np.array([[1, 0], [0, 0], [1, 1]], dtype=np.float32)
    _, cosines = ItemIndex(vectors, np.zeros(3, dtype=np.float32)).similar(2, 2, NOTHING)
    assert cosines.tolist() == [0.0, 0.0]


def test_a_model_without_vectors_knows_no_similar_items() -> None:
    rows, _ = ItemIndex(np.zeros((3, 0), dtype=np.float32), np.zeros(3, dtype=np.float32)).similar(1, 2, NOTHING)
    assert rows.tolist() == []


@pytest.mark.parametrize(
    ("vectors", "popularity"),
    [([[1.0, np.nan]], [1.0]), ([[1.0, 1.0]], [np.inf]), ([[1.0, 1.0]], [1.0, 2.0])],
    ids=["vector not finite", "popularity not finite", "lengths differ"],
)
def test_tables_that_cannot_rank_are_refused(vectors: list[list[float]], popularity: list[float]) -> None:
    with pytest.raises(BundleBroken):
        ItemIndex(np.array(vectors, dtype=np.float32), np.array(popularity, dtype=np.float32))
