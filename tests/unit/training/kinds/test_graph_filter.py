"""GF-CF is the formula of its paper, computed densely in float64."""

import numpy as np
import pytest

from services.training.kinds import graph_filter
from services.training.kinds.graph_filter import GraphFilter, GraphFilterOptions, Smoothing, first_right_vectors
from services.training.kinds.interaction_matrix import SparseMatrix, interactions
from services.training.kinds.neighbours import NeighbourTable
from tests.unit.training.kinds.small_data import Doubles, histories_of, random_dataset


def expected_scores(matrix: Doubles, options: GraphFilterOptions) -> Doubles:
    users, items = matrix.sum(1), matrix.sum(0)
    normalised = matrix / np.sqrt(users)[:, np.newaxis] / np.sqrt(items)
    vectors = np.linalg.svd(normalised)[2][: options.num_components].T
    smoothing = normalised.T @ normalised
    ideal = (matrix / np.sqrt(items)) @ vectors @ vectors.T * np.sqrt(items)
    scores = matrix @ smoothing + options.ideal_weight * ideal
    result: Doubles = (scores - options.sharpening * scores @ smoothing) * items**options.popularity_power
    return result


@pytest.mark.parametrize("num_neighbours", [None, 40])
@pytest.mark.parametrize(("sharpening", "power"), [(0.0, 0.0), (0.6, 0.0), (0.6, 0.2)])
def test_it_scores_as_the_dense_formula(num_neighbours: int | None, sharpening: float, power: float) -> None:
    """As a filter, and as a table that keeps all weights."""
    dataset, matrix = random_dataset(50, 40, 0.15)
    options = GraphFilterOptions(
        num_components=6, sharpening=sharpening, popularity_power=power, num_neighbours=num_neighbours
    )
    model = GraphFilter(options)
    model.fit(dataset, lambda _: None)
    assert np.allclose(model.score(histories_of(matrix)), expected_scores(matrix, options), atol=1e-4)


def test_what_serving_would_keep_of_a_filter_scores_as_the_filter() -> None:
    dataset, matrix = random_dataset(50, 40, 0.15)
    model = GraphFilter(GraphFilterOptions(num_components=6, num_neighbours=None))
    model.fit(dataset, lambda _: None)
    exact = model.score(histories_of(matrix))
    kept = GraphFilter()
    kept.type_weights = model.type_weights
    tables = model.serving_tables()
    kept.neighbours = NeighbourTable(
        tables["neighbour_rows"].astype(np.int32), tables["neighbour_weights"].astype(np.float32)
    )
    assert np.allclose(kept.score(histories_of(matrix)), exact, atol=1e-5)


def graph_of(dataset_matrix: SparseMatrix) -> SparseMatrix:
    degrees = np.sqrt(dataset_matrix.row_sums()[dataset_matrix.row_of_cell])
    return dataset_matrix.with_values(dataset_matrix.values / degrees)


def test_the_singular_vectors_of_a_large_matrix_are_those_of_a_dense_one(monkeypatch: pytest.MonkeyPatch) -> None:
    """400 items in blocks of 8 vectors: a square of the items is never held, they are found by Lanczos."""
    monkeypatch.setattr(graph_filter, "BLOCK_VECTORS", 8)
    dataset, _ = random_dataset(300, 400, 0.03)
    graph = graph_of(interactions(dataset))
    found = first_right_vectors(Smoothing(graph), 400, GraphFilterOptions(num_components=8)).numpy()
    exact = np.linalg.svd(graph.tensor().to_dense().numpy().astype(np.float64))[2][:8].T
    assert np.allclose(found.T @ found, np.eye(8), atol=1e-5)
    assert np.linalg.norm(found @ found.T - exact @ exact.T) < 0.05


def test_a_matrix_of_low_rank_has_no_more_vectors_than_that() -> None:
    """Three users: what lies beyond rank 3 is rounding, and of no meaning."""
    dataset, _ = random_dataset(3, 30, 0.5)
    graph = graph_of(interactions(dataset))
    found = first_right_vectors(Smoothing(graph), 30, GraphFilterOptions(num_components=10)).numpy()
    assert np.allclose(np.linalg.norm(found, axis=0), [1] * 3 + [0] * 7, atol=1e-5)
