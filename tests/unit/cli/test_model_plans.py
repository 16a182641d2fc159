"""What `nightjar models plans` shows of a table, of a version without one, and how it draws the frontier."""

import json
from dataclasses import replace
from xml.etree import ElementTree

import pytest
from rich.console import Console

from services.cli.frontier_plot import frontier, frontier_svg
from services.cli.model_plans import document, plans_of, table
from services.domain.errors import InvalidRequest
from services.domain.models import Provenance
from services.domain.plans import PLAIN, REFERENCE, Plan, PlanFigures, PlanRow, PlanTable, Precision
from tests.fakes.model_registry import model

INT8, INT4 = Plan(Precision.INT8), Plan(Precision.INT4)


def row(plan: Plan, cost_us: float, ndcg: float) -> PlanRow:
    figures = PlanFigures(
        ndcg_at_10=ndcg, ndcg_change=ndcg - 0.2, ndcg_change_low=ndcg - 0.202, ndcg_change_high=ndcg - 0.198,
        overlap_at_20=0.95, encode_core_us=cost_us - 50, answer_core_us=cost_us, answer_p50_ms=cost_us / 1_000,
        answer_p99_ms=cost_us / 500, encoder_bytes=2_097_152,
    )  # fmt: skip
    return PlanRow(plan, figures)


TABLE = PlanTable(
    [row(REFERENCE, 600, 0.2), row(PLAIN, 200, 0.2), row(INT8, 150, 0.19), PlanRow(INT4, None, "no [red]operator")],
    PLAIN,
    0.01,
)


def test_the_table_shows_every_plan_and_why_one_has_no_figures() -> None:
    console = Console(width=250)
    with console.capture() as captured:
        console.print(table(TABLE))
    shown = captured.get()
    assert "-0.00% (+1.00%)" in shown or "+0.00% (+1.00%)" in shown
    assert "+5.00% (+6.00%)" in shown
    assert "no [red]operator" in shown  # as it stands, not as a colour
    (chosen,) = [line for line in shown.splitlines() if "→" in line]
    assert "float32" in chosen
    assert "ONNX Runtime" in chosen


def test_the_document_is_json_with_what_is_worked_out() -> None:
    rows = json.loads(json.dumps(document(TABLE)))["rows"]
    assert [each["chosen"] for each in rows] == [False, True, False, False]
    assert rows[2]["figures"]["loss"] == pytest.approx(0.05)
    assert rows[3]["figures"] is None
    assert rows[3]["reason"] == "no [red]operator"


def test_a_version_without_a_table_says_why() -> None:
    with pytest.raises(InvalidRequest, match="has no table of plans"):
        plans_of(model("a"))
    known = replace(model("a"), provenance=Provenance(configuration={"plans": TABLE.to_document()}))
    assert plans_of(known) == TABLE


def test_the_frontier_leaves_out_what_is_beaten_and_what_is_not_served() -> None:
    beaten = row(INT4, 300, 0.195)
    assert [each.plan for each in frontier([*TABLE.rows[:3], beaten])] == [INT8, PLAIN]


def test_the_picture_has_a_point_for_each_measured_plan() -> None:
    root = ElementTree.fromstring(frontier_svg(TABLE))  # noqa: S314 - ours
    points = root.findall("{*}circle")
    assert len(points) == 3
    assert [each.get("fill") for each in points] == ["grey", "seagreen", "steelblue"]


def test_a_table_in_which_all_failed_can_be_drawn() -> None:
    ElementTree.fromstring(frontier_svg(PlanTable([PlanRow(INT4, None, "why")], PLAIN, 0.01)))  # noqa: S314 - ours
