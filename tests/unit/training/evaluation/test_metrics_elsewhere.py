"""Metrics held against a library that nobody here wrote, on random lists: ranx (Bassani, ECIR 2022)."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from services.training.evaluation.metrics import Doubles, Judged

NUM_ITEMS, LENGTH = 30, 12
QUESTIONS = st.lists(
    st.tuples(
        st.permutations(range(NUM_ITEMS)).map(lambda items: items[:LENGTH]),
        st.sets(st.integers(0, NUM_ITEMS - 1), min_size=1, max_size=15),
    ),
    min_size=1,
    max_size=6,
)


@pytest.fixture(scope="module")
def ranx() -> Any:
    """Without its compiler, which takes a minute for what these lists need of it."""
    import numba

    numba.config.DISABLE_JIT = True  # type: ignore[attr-defined]  # read while ranx is imported
    import ranx

    return ranx


@pytest.mark.timeout(300)  # ranx takes ten seconds to import, more on a busy machine
@settings(max_examples=150, deadline=None)
@given(QUESTIONS, st.integers(1, LENGTH))
def test_every_metric_is_what_the_library_says(ranx: Any, questions: list[tuple[list[int], set[int]]], k: int) -> None:
    """List by list. MAP alone is normalised differently there, by all that was chosen instead of at most k of it."""
    judged = Judged(
        np.array([[item in chosen for item in shown] for shown, chosen in questions]),
        np.array([len(chosen) for _, chosen in questions]),
        np.arange(len(questions)),
    )
    theirs = figures_of(ranx, questions, k)
    assert judged.hits(k) == pytest.approx(theirs["hit_rate"])
    assert judged.recall(k) == pytest.approx(theirs["recall"])
    assert judged.precision(k) == pytest.approx(theirs["precision"])
    assert judged.ndcg(k) == pytest.approx(theirs["ndcg"])
    assert judged.reciprocal_rank(k) == pytest.approx(theirs["mrr"])
    assert judged.average_precision(k) == pytest.approx(
        theirs["map"] * judged.num_relevant / np.minimum(judged.num_relevant, k)
    )


def figures_of(ranx: Any, questions: list[tuple[list[int], set[int]]], k: int) -> Mapping[str, Doubles]:
    """The library's figures by its name for each, (num_questions,)."""
    names = ("hit_rate", "recall", "precision", "ndcg", "mrr", "map")
    chosen = {f"q{number:02d}": {f"i{item}": 1 for item in items} for number, (_, items) in enumerate(questions)}
    shown = {
        f"q{number:02d}": {f"i{item}": float(LENGTH - place) for place, item in enumerate(items)}
        for number, (items, _) in enumerate(questions)
    }
    found = ranx.evaluate(
        ranx.Qrels(chosen), ranx.Run(shown), [f"{name}@{k}" for name in names], return_mean=False, make_comparable=True
    )
    return {name: np.asarray(found[f"{name}@{k}"]) for name in names}
