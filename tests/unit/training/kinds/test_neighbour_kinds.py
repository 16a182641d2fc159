"""Item-kNN by brute force, and EASE by the formula in float64."""

import numpy as np
import pytest
import torch

from services.domain.errors import TrainingFailed
from services.training.kinds import item_knn
from services.training.kinds.ease import Ease, EaseOptions, ease_weights
from services.training.kinds.interaction_matrix import interactions
from services.training.kinds.item_knn import ItemKnn, ItemKnnOptions
from services.training.kinds.neighbours import NeighbourTable, strongest
from tests.unit.training.kinds.small_data import Doubles, dataset_of, histories_of, random_dataset


def dense(table: NeighbourTable) -> Doubles:
    """(num_items, num_items) from the row's item to the column's."""
    weights = np.zeros((len(table.rows), len(table.rows) + 1))
    np.put_along_axis(weights, table.rows.astype(np.int64), table.weights, axis=1)
    return weights[:, 1:] * (np.arange(1, len(table.rows) + 1) > 0)


def test_the_similarity_is_the_cosine_of_two_columns_shrunk() -> None:
    """a: ann, bob; b: ann, bob, cid; c: cid. a and b share two users of 2 and 3, b and c one of 3 and 1."""
    events = [("ann", "a"), ("bob", "a"), ("ann", "b"), ("bob", "b"), ("cid", "b"), ("cid", "c")]
    model = ItemKnn(ItemKnnOptions(num_neighbours=2, shrinkage=1.0))
    model.fit(dataset_of([(user, item, "view") for user, item in events]), lambda _: None)
    a_b, b_c = 2 / (np.sqrt(6) + 1), 1 / (np.sqrt(3) + 1)
    assert np.allclose(dense(model.neighbours), [[0, a_b, 0], [a_b, 0, b_c], [0, b_c, 0]])
    assert model.neighbours.rows[0].tolist() == [2, 0]  # c is no neighbour of a, and 0 fills the line


@pytest.mark.parametrize("block_cells", [1, 500, 10**6])
def test_the_best_neighbours_are_those_of_brute_force(monkeypatch: pytest.MonkeyPatch, block_cells: int) -> None:
    """However many items are compared at a time."""
    monkeypatch.setattr(item_knn, "BLOCK_CELLS", block_cells)
    dataset, matrix = random_dataset(60, 25, 0.2)
    model = ItemKnn(ItemKnnOptions(num_neighbours=6, shrinkage=3.0))
    model.fit(dataset, lambda _: None)
    norms = np.linalg.norm(matrix, axis=0)
    alike = matrix.T @ matrix / (np.outer(norms, norms) + 3.0)
    np.fill_diagonal(alike, 0.0)
    best = -np.sort(-alike, axis=1)[:, :6]
    assert np.allclose(-np.sort(-dense(model.neighbours), axis=1)[:, :6], best, atol=1e-6)
    all_of_them = ItemKnn(ItemKnnOptions(num_neighbours=25, shrinkage=3.0))
    all_of_them.fit(dataset, lambda _: None)
    assert np.allclose(all_of_them.score(histories_of(matrix)), matrix @ alike, atol=1e-5)


def test_ease_is_its_closed_form_with_nothing_from_an_item_to_itself() -> None:
    dataset, matrix = random_dataset(80, 30, 0.2)
    inverse = np.linalg.inv(matrix.T @ matrix + 4.0 * np.eye(30))
    expected = np.eye(30) - inverse / np.diag(inverse)
    found = ease_weights(interactions(dataset), 4.0).numpy()
    assert not found.diagonal().any()
    assert np.allclose(found, expected, atol=1e-5)
    model = Ease(EaseOptions(l2=4.0, num_neighbours=None))
    model.fit(dataset, lambda _: None)
    assert np.allclose(model.score(histories_of(matrix)), matrix @ expected, atol=1e-4)


def test_ease_minimises_its_loss_among_weights_without_a_diagonal() -> None:
    """The slope of |X - XB|^2 + l2 |B|^2 is 0 but on the diagonal, where B is held at 0."""
    dataset, matrix = random_dataset(80, 30, 0.2)
    weights = ease_weights(interactions(dataset), 4.0).numpy().astype(np.float64)
    slope = matrix.T @ (matrix @ weights - matrix) + 4.0 * weights
    np.fill_diagonal(slope, 0.0)
    assert np.abs(slope).max() < 1e-4


def test_the_kept_weights_are_those_of_the_largest_size_whatever_their_sign() -> None:
    table = strongest(torch.tensor([[0.0, -0.5, 0.1], [0.2, 0.0, 0.0], [0.3, 0.4, 0.0]]), 1)
    assert table.rows.tolist() == [[2], [1], [2]]
    assert np.allclose(table.weights, [[-0.5], [0.2], [0.4]])


def test_ease_names_what_to_raise_when_float32_cannot_invert() -> None:
    dataset = dataset_of([(user, item, "view") for user in ("ann", "bob") for item in "abc"])
    with pytest.raises(TrainingFailed, match="l2"):
        Ease(EaseOptions(l2=0.0)).fit(dataset, lambda _: None)
