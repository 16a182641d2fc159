"""What each way of scoring answers, held against the plainest way to compute the same."""

from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from services.domain.errors import BundleBroken
from services.domain.history_input import HistoryRows
from services.domain.scoring import Floats, FoldIn, Neighbours
from services.inference.excluded import NOTHING, Excluded
from services.inference.retrieval import ItemIndex
from services.inference.scorers import NeighbourScorer, Scorer, VectorScorer
from services.inference.serving_model import load_serving_model
from tests.fakes.tiny_bundle import FOLD_IN, KINDS, item_vectors, write_bundle
from tests.unit.inference.conftest import VECTORS
from tests.unit.inference.excluding import excluded_in_two_parts, excluded_of

NUM_ITEMS, DIM = 9, 4
TYPE_WEIGHTS = np.array([0, 1, 2, 0, -1], np.float32)
"""A view, a purchase, a look at the price, a thumb down."""
POPULARITY = np.array([1, 5, 2, 5, 4, 3, 9, 0, 6], np.float32)

Event = tuple[int, int]
histories = st.lists(st.tuples(st.integers(1, NUM_ITEMS), st.integers(1, 4)), min_size=1, max_size=12)
excluded_items = st.sets(st.integers(1, NUM_ITEMS)).flatmap(
    lambda rows: st.tuples(st.just(rows), excluded_in_two_parts(rows, NUM_ITEMS))
)
"""Their rows, and how they are said."""


def history_of(events: Sequence[Event]) -> HistoryRows:
    items, types = np.array(events, np.int64).reshape(-1, 2).T
    return HistoryRows(items, types, np.zeros(len(events), np.int64))


def liked_in(events: Sequence[Event]) -> Mapping[int, float]:
    """By item row: its strongest positive weight, unless the last thing that was said of it is against it."""
    weights: dict[int, list[float]] = {}
    for item, kind in events:
        if TYPE_WEIGHTS[kind]:
            weights.setdefault(item, []).append(float(TYPE_WEIGHTS[kind]))
    return {item: max(said) for item, said in weights.items() if said[-1] > 0}


def index_of(vectors: Floats | None = None) -> ItemIndex:
    return ItemIndex(np.empty((NUM_ITEMS, 0), np.float32) if vectors is None else vectors, POPULARITY)


def folding(vectors: Floats) -> FoldIn:
    gram: Floats = (0.1 * vectors.T @ vectors).astype(np.float32)
    return FoldIn(vectors, gram, FOLD_IN, TYPE_WEIGHTS.copy())


@given(histories, st.integers(0, 20))
def test_folding_in_solves_the_problem_of_its_docstring(events: list[Event], seed: int) -> None:
    vectors = item_vectors(seed, NUM_ITEMS, DIM)
    unobserved, regularisation, exponent = FOLD_IN
    liked = liked_in(events)
    size = len(liked) + unobserved * NUM_ITEMS
    matrix = unobserved * 0.1 * vectors.T @ vectors + regularisation * size**exponent * np.eye(DIM)
    wanted = np.zeros(DIM)
    for item, weight in liked.items():
        matrix += weight * np.outer(vectors[item - 1], vectors[item - 1])
        wanted += weight * vectors[item - 1]
    fold_in = folding(vectors)
    assert fold_in.knows(history_of(events)) == bool(liked)
    assert fold_in.encode(history_of(events)) == pytest.approx(np.linalg.inv(matrix) @ wanted, abs=1e-4)


@given(histories, st.integers(0, 12), excluded_items)
def test_the_best_of_a_folded_in_user_equal_brute_force(
    events: list[Event], k: int, excluded: tuple[set[int], Excluded]
) -> None:
    # Vectors of few different numbers, some twice, so that scores tie.
    vectors = np.random.default_rng(1).integers(0, 2, (NUM_ITEMS, DIM)).astype(np.float32)
    fold_in, history = folding(vectors), history_of(events)
    all_scores = vectors @ fold_in.encode(history)
    rows, scores = VectorScorer(fold_in, index_of(vectors)).best(history, k, excluded[1])
    eligible = [row for row in range(1, NUM_ITEMS + 1) if row not in excluded[0]]
    assert rows.tolist() == sorted(eligible, key=lambda row: (-all_scores[row - 1], row))[:k]
    assert scores.tolist() == all_scores[rows - 1].tolist()


def test_a_problem_without_a_solution_is_a_broken_model() -> None:
    nothing = np.zeros((DIM, DIM), np.float32)
    no_ridge = np.array([0, 0, 1], np.float32)
    fold_in = FoldIn(item_vectors(1, NUM_ITEMS, DIM), nothing, no_ridge, TYPE_WEIGHTS.copy())
    with pytest.raises(BundleBroken, match="1 liked items"):
        fold_in.encode(history_of([(1, 1)]))


# Few different weights, some below 0 as EASE learns them, and most of them 0, so that ties and gaps are the rule.
weight_tables = st.lists(
    st.lists(st.sampled_from([0.0, 0.0, 0.0, 0.5, 1.0, -0.5]), min_size=NUM_ITEMS, max_size=NUM_ITEMS),
    min_size=NUM_ITEMS,
    max_size=NUM_ITEMS,
)


def neighbouring(weights: Sequence[Sequence[float]]) -> NeighbourScorer:
    """weights: of each item on each item. The neighbours are stored in no order, an item may be its own."""
    table = np.array(weights, np.float32)
    order = np.random.default_rng(2).permuted(np.tile(np.arange(NUM_ITEMS), (NUM_ITEMS, 1)), axis=1)
    kept = np.take_along_axis(table, order, 1)
    rows = np.where(kept != 0, order + 1, 0).astype(np.int32)
    return NeighbourScorer(Neighbours(rows, kept, TYPE_WEIGHTS.copy()), index_of())


@given(weight_tables, histories, st.integers(0, 12), excluded_items)
def test_the_best_by_neighbours_equal_brute_force(
    weights: list[list[float]], events: list[Event], k: int, excluded: tuple[set[int], Excluded]
) -> None:
    """Items of which nothing is said come by popularity, behind those spoken for and ahead of those spoken against."""
    said = dict.fromkeys(range(1, NUM_ITEMS + 1), 0.0)
    for item, weight in liked_in(events).items():
        for row in said:
            said[row] += weight * weights[item - 1][row - 1]

    def place(row: int) -> tuple[float, float, int]:
        return (-said[row], 0.0 if said[row] else -float(POPULARITY[row - 1]), row)

    rows, scores = neighbouring(weights).best(history_of(events), k, excluded[1])
    assert rows.tolist() == sorted(said.keys() - excluded[0], key=place)[:k]
    assert scores.tolist() == [said[row] for row in rows.tolist()]


@given(weight_tables, histories)
def test_neighbours_know_a_history_that_speaks_of_any_item(weights: list[list[float]], events: list[Event]) -> None:
    speaks = any(any(weights[item - 1]) for item in liked_in(events))
    assert neighbouring(weights).knows(history_of(events)) == speaks


@given(weight_tables, st.integers(1, NUM_ITEMS), st.integers(0, 12), excluded_items)
def test_similar_items_are_the_neighbours_by_weight(
    weights: list[list[float]], item: int, k: int, excluded: tuple[set[int], Excluded]
) -> None:
    of_item = dict(enumerate(weights[item - 1], start=1))
    shown = [row for row, weight in of_item.items() if weight > 0 and row != item and row not in excluded[0]]
    rows, alike = neighbouring(weights).similar(item, k, excluded[1])
    assert rows.tolist() == sorted(shown, key=lambda row: (-of_item[row], row))[:k]
    assert alike.tolist() == [of_item[row] for row in rows.tolist()]


def test_a_short_list_is_filled_up_with_popular_items() -> None:
    weights = np.zeros((NUM_ITEMS, NUM_ITEMS))
    weights[0, [2, 4, 7]] = [0.5, 1.0, -1.0]
    scorer = neighbouring(weights.tolist())
    rows, scores = scorer.best(history_of([(1, 1)]), 6, excluded_of({1, 9}))
    assert rows.tolist() == [5, 3, 7, 2, 4, 6]  # 7 is the most popular; 2 and 4 tie
    assert scores.tolist() == [1.0, 0.5, 0.0, 0.0, 0.0, 0.0]
    assert scorer.best(history_of([(1, 1)]), 99, excluded_of({1, 9}))[0].tolist() == [5, 3, 7, 2, 4, 6, 8]


def test_padding_says_nothing_whatever_its_weight() -> None:
    rows = np.array([[2, 0], [0, 0]], np.int32)
    neighbours = Neighbours(rows, np.ones((2, 2), np.float32), TYPE_WEIGHTS.copy())
    assert neighbours.scores(history_of([(1, 1)])).tolist() == [0.0, 1.0]
    assert not neighbours.knows(history_of([(2, 1)]))
    assert neighbours.of_item(1)[0].tolist() == [2]


@pytest.mark.parametrize(
    ("events", "score"),
    [
        ([(1, 1)], 1.0),
        ([(1, 1), (1, 1)], 1.0),
        ([(1, 2), (1, 1)], 2.0),
        ([(1, 1), (1, 4)], 0.0),
        ([(1, 4), (1, 1)], 1.0),
        ([(1, 1), (1, 3)], 1.0),
        ([(1, 3)], 0.0),
    ],
    ids=[
        "once",
        "twice counts once",
        "the strongest counts",
        "disliked later",
        "liked later",
        "then neutral",
        "neutral",
    ],
)
def test_what_an_item_of_the_history_weighs(events: list[Event], score: float) -> None:
    neighbours = Neighbours(np.array([[2], [0]], np.int32), np.ones((2, 1), np.float32), TYPE_WEIGHTS.copy())
    assert neighbours.scores(history_of(events))[1] == score


def loaded(folder: Path, kind: str) -> Scorer:
    write_bundle(folder, "v1", vectors=VECTORS, kind=kind)
    return load_serving_model(folder).scorer


@pytest.mark.parametrize("kind", KINDS)
def test_the_same_history_gets_the_same_bits_from_every_copy(tmp_path: Path, kind: str) -> None:
    """Law 2."""
    history = history_of([(3, 1), (1, 2), (3, 2), (6, 1)])
    copies = [loaded(tmp_path / name, kind) for name in ("a", "b")]
    answers = [
        [part.tobytes() for part in scorer.best(history, 5, excluded_of({2}))] for scorer in (*copies, copies[0])
    ]
    assert answers[0] == answers[1] == answers[2]


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_says_whom_it_knows_and_what_is_alike(tmp_path: Path, kind: str) -> None:
    scorer = loaded(tmp_path / "v1", kind)
    assert scorer.knows(history_of([(1, 1)])) == (kind != "popularity")
    assert not scorer.knows(history_of([]))
    assert scorer.similar(1, 1, NOTHING)[0].tolist() == ([] if kind == "popularity" else [2])
