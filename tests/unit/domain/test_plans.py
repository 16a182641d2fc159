"""The cheapest plan within the loss allowed is chosen, and the table comes back as it was written."""

import json
from dataclasses import replace

import pytest

from services.domain.errors import BundleBroken
from services.domain.plans import PLAIN, REFERENCE, Plan, PlanFigures, PlanRow, PlanTable, Precision, cheapest

INT8, INT4 = Plan(Precision.INT8), Plan(Precision.INT4)
FIGURES = PlanFigures(
    ndcg_at_10=0.2, ndcg_change=0.0, ndcg_change_low=0.0, ndcg_change_high=0.0, overlap_at_20=1.0, encode_core_us=100.0,
    answer_core_us=150.0, answer_p50_ms=0.15, answer_p99_ms=0.3, encoder_bytes=1_000,
)  # fmt: skip


def row(plan: Plan, cost_us: float, change: float = 0.0, low: float = 0.0) -> PlanRow:
    return PlanRow(plan, replace(FIGURES, answer_core_us=cost_us, ndcg_change=change, ndcg_change_low=low))


def test_the_cheapest_that_loses_little_is_chosen() -> None:
    assert cheapest([row(PLAIN, 150), row(INT8, 120, -0.001, -0.0015), row(INT4, 90, -0.01, -0.02)], 0.01) == INT8


def test_a_loss_counts_at_the_worse_end_of_its_interval() -> None:
    """A mean of nothing with a wide interval may be a loss of much."""
    assert cheapest([row(PLAIN, 150), row(INT8, 120, 0.0, -0.01)], 0.01) == PLAIN
    assert row(INT8, 1, -0.002, -0.004).figures == replace(
        FIGURES, answer_core_us=1, ndcg_change=-0.002, ndcg_change_low=-0.004
    )
    figures = replace(FIGURES, ndcg_at_10=0.198, ndcg_change=-0.002, ndcg_change_low=-0.004)
    assert (figures.loss, figures.loss_at_most) == pytest.approx((0.01, 0.02))


def test_the_reference_and_what_failed_are_never_chosen() -> None:
    assert cheapest([row(REFERENCE, 1), PlanRow(INT4, None, "no such operator"), row(PLAIN, 150)], 0.01) == PLAIN


def test_where_nothing_was_measured_the_plain_one_is_served() -> None:
    assert cheapest([], 0.01) == PLAIN


def test_what_saves_next_to_nothing_is_not_worth_other_numbers() -> None:
    assert cheapest([row(INT8, 95), row(PLAIN, 100)], 0.01) == PLAIN
    assert cheapest([row(INT8, 89), row(PLAIN, 100)], 0.01) == INT8


def test_equal_costs_go_to_the_first() -> None:
    assert cheapest([row(INT4, 50), row(INT8, 50), row(PLAIN, 100)], 0.01) == INT4


def test_a_loss_of_everything_is_a_loss() -> None:
    assert replace(FIGURES, ndcg_at_10=0.0, ndcg_change=0.0).loss == 0.0
    assert replace(FIGURES, ndcg_at_10=0.0, ndcg_change=-0.2).loss == 1.0


def test_the_table_comes_back_as_it_was_written() -> None:
    table = PlanTable([row(REFERENCE, 400), row(PLAIN, 150), PlanRow(INT4, None, "why")], PLAIN, 0.01)
    assert PlanTable.from_document(json.loads(json.dumps(table.to_document()))) == table


@pytest.mark.parametrize("broken", [{}, {"rows": [], "chosen": {"precision": "float7"}, "max_loss": 0}, {"rows": 3}])
def test_what_is_no_table_says_so(broken: dict[str, object]) -> None:
    with pytest.raises(BundleBroken, match="table of plans"):
        PlanTable.from_document(broken)
