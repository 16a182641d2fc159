"""What two versions have not in common, worked out by hand."""

import math
from dataclasses import replace
from typing import Any

from services.domain.ids import ModelVersion
from services.domain.model_differences import Different, Figure, TwoFigures, differences, figures_of, unlike
from services.domain.models import Interval, Model, Provenance
from tests.fakes.model_registry import model


def made(version: str, configuration: dict[str, Any], **fields: Any) -> Model:
    registered = replace(model(version), provenance=Provenance("1.0", 7, configuration))
    return replace(registered, **fields)


def test_what_differs_is_told_by_its_dotted_name_and_what_does_not_is_not() -> None:
    first = made("a", {"train": {"dim": 16, "kind": "sequence", "options": {}}, "until_us": None})
    second = made(
        "b", {"train": {"dim": 32, "kind": "sequence", "options": {"l2": 1}}, "until_us": 5}, data_version=9,
        parent=ModelVersion("a"),
    )  # fmt: skip
    found = differences(first, second)
    assert found.settings == (
        Different("parent", None, "a"),
        Different("train.dim", 16, 32),
        Different("train.options", {}, None),
        Different("train.options.l2", None, 1),
    )
    assert found.data == (Different("data_version", 7, 9), Different("until_us", None, 5))


def test_of_the_plans_only_the_chosen_one_is_told() -> None:
    """What was measured of them is never the same twice."""
    tables = [{"rows": [cost], "chosen": {"precision": chosen}} for cost, chosen in ((1, "float32"), (2, "int8"))]
    first, second = (made(name, {"plans": table}) for name, table in zip("ab", tables, strict=True))
    assert differences(first, second).settings == (Different("plan.precision", "float32", "int8"),)


def test_a_version_does_not_differ_from_itself() -> None:
    same = made("a", {"train": {"dim": 16}}, metrics={"ndcg": math.nan, "coverage": 0.5, "fit_s": math.inf})
    found = differences(same, same)
    assert (found.settings, found.data) == ((), ())
    assert [each.difference for each in found.metrics] == [0.0, 0.0, 0.0]


def test_figures_stand_side_by_side_also_where_one_lacks_it() -> None:
    first, second = (replace(model("a"), metrics=metrics) for metrics in ({"x": 0.5}, {"x": 0.75, "y": 1.0}))
    one, other = differences(first, second).metrics
    assert (one, one.difference) == (TwoFigures("x", 0.5, 0.75), 0.25)
    assert math.isnan(other.first)
    assert math.isnan(other.difference)


def test_an_interval_is_told_with_its_figure() -> None:
    metrics = {"gain": 0.1, "gain_low": 0.0, "gain_high": 0.2, "coverage": 0.5, "odd_low": 1.0}
    assert figures_of(metrics) == (
        Figure("coverage", 0.5),
        Figure("gain", 0.1, Interval(0.0, 0.2)),
        Figure("odd_low", 1.0),
    )


def test_only_settings_unlike_the_defaults_are_told() -> None:
    configuration = {"train": {"dim": 16, "gone": True, "seed": 42}, "libraries": {"torch": "9"}}
    defaults = {"train": {"dim": 128, "seed": 42, "new": 1}, "event_types": []}
    assert unlike(configuration, defaults) == (
        Different("train.dim", 16, 128),
        Different("train.gone", True, None),
        Different("train.new", None, 1),
    )
