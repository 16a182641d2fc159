"""What planning measures of every kind of model."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.domain.plans import Plan, PlanTable, Precision
from services.inference.excluded import Excluded, Rows, Vector
from services.inference.planning.measure import NUM_HISTORIES, TOP, UNPLANNED, drawn_histories, measured, plan_of
from services.inference.serving_model import ServingModel, load_serving_model
from tests.fakes.tiny_bundle import KINDS, item_vectors, manifest_of, write_bundle


def _model(folder: Path, kind: str = "sequence") -> ServingModel:
    write_bundle(folder / "bundle", "new", kind=kind, vectors=item_vectors(1, num_items=40))
    return load_serving_model(folder / "bundle")


@pytest.mark.parametrize("kind", KINDS)
def test_every_kind_has_all_figures_and_an_exact_index_finds_the_best(tmp_path: Path, kind: str) -> None:
    figures = measured(_model(tmp_path, kind), seed=1)
    assert set(figures) == {"plan_num_histories", "plan_p50_ms", "plan_p99_ms", "plan_core_us", "index_recall_at_10"}
    assert figures["index_recall_at_10"] == 1.0
    assert 0 <= figures["plan_p50_ms"] <= figures["plan_p99_ms"]
    assert figures["plan_num_histories"] == (0 if kind == "popularity" else NUM_HISTORIES)


def test_an_index_that_misses_the_best_is_found_out(tmp_path: Path) -> None:
    model = _model(tmp_path)
    best = type(model.scorer).best

    class Blind(type(model.scorer)):  # type: ignore[misc]
        """Overlooks the best item unless it ranks them all."""

        def best(self, history: object, k: int, excluded: Excluded) -> tuple[Rows, Vector]:
            rows, scores = best(self, history, k + 1, excluded)  # type: ignore[arg-type]
            return (rows[1:], scores[1:]) if k == TOP else (rows[:k], scores[:k])

    model.scorer.__class__ = Blind
    assert measured(model, seed=1)["index_recall_at_10"] == pytest.approx(1 - 1 / TOP)


def test_the_histories_are_the_same_each_time(tmp_path: Path) -> None:
    first, second = (list(drawn_histories(_model(tmp_path / name), seed=3)) for name in ("a", "b"))
    assert all(np.array_equal(one.items, other.items) for one, other in zip(first, second, strict=True))
    assert len({len(each.items) for each in first}) > 1


def test_the_plan_is_the_one_that_the_manifest_says() -> None:
    manifest = manifest_of("new")
    assert plan_of(manifest) == UNPLANNED
    chosen = Plan(Precision.INT8)
    configuration = {"plans": PlanTable([], chosen, 0.01).to_document()}
    assert plan_of(replace(manifest, configuration=configuration)) == chosen.name
