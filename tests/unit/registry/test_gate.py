"""What the gate promises."""

import math

import pytest

from services.domain.models import Finding, Verdict
from services.registry.gate import SAW_HOLDOUT, GateRules, compared, judge, planned

RULES = GateRules(min_gain_over_popularity=0.01, min_coverage=0.2, min_holdout_users=50)
GOOD = {
    "ndcg_gain_at_10": 0.05,
    "ndcg_gain_at_10_low": 0.02,
    "ndcg_gain_at_10_high": 0.08,
    "num_holdout_users": 50.0,
    "coverage_at_10": 0.2,
    "gini_at_10": 0.9,
    "num_bad_vectors": 0.0,
}


def _finding(verdict: Verdict, rule: str) -> Finding:
    (finding,) = [each for each in verdict.findings if each.rule == rule]
    return finding


def test_a_model_that_holds_every_rule_passes() -> None:
    verdict = judge(GOOD, RULES)
    assert verdict.passed
    rules = ["gain_over_popularity", "holdout_users", "coverage", "concentration", "sound_vectors"]
    assert [each.rule for each in verdict.findings] == rules


@pytest.mark.parametrize(
    ("metric", "figure", "rule"),
    [
        ("ndcg_gain_at_10_low", 0.01, "gain_over_popularity"),
        ("ndcg_gain_at_10_low", -0.3, "gain_over_popularity"),
        ("num_holdout_users", 49.0, "holdout_users"),
        ("coverage_at_10", 0.1999, "coverage"),
        ("gini_at_10", 0.9996, "concentration"),
        ("num_bad_vectors", 1.0, "sound_vectors"),
    ],
)
def test_one_broken_rule_refuses_the_model_and_no_other_is_blamed(metric: str, figure: float, rule: str) -> None:
    verdict = judge({**GOOD, metric: figure}, RULES)
    assert not verdict.passed
    assert [each.rule for each in verdict.findings if not each.passed] == [rule]
    assert _finding(verdict, rule).figure == figure


@pytest.mark.parametrize("metric", ["ndcg_gain_at_10_low", "num_holdout_users", "coverage_at_10", "num_bad_vectors"])
def test_a_figure_that_is_missing_or_not_a_number_fails_its_rule_and_is_named(metric: str) -> None:
    missing = {name: figure for name, figure in GOOD.items() if name != metric}
    for metrics in (missing, {**GOOD, metric: math.nan}):
        (failed,) = [each for each in judge(metrics, RULES).findings if not each.passed]
        assert metric in failed.sentence


def test_no_metrics_at_all_fail_every_rule() -> None:
    assert not any(finding.passed for finding in judge({}, GateRules(-1.0, 0.0, 1)).findings)


def test_a_great_gain_with_an_uncertain_lower_end_does_not_pass() -> None:
    """A lucky night must not look like a better model."""
    verdict = judge({**GOOD, "ndcg_gain_at_10": 0.4, "ndcg_gain_at_10_low": -0.001}, GateRules())
    assert not verdict.passed


def test_one_user_is_no_evidence_however_great_the_gain() -> None:
    """Resampling one user gives an interval without width, so its lower end says nothing."""
    certain = dict.fromkeys(("ndcg_gain_at_10", "ndcg_gain_at_10_low", "ndcg_gain_at_10_high"), 0.9)
    verdict = judge({**GOOD, **certain, "num_holdout_users": 1.0}, GateRules())
    assert not verdict.passed
    assert "1 held-out users; fewer than 30" in _finding(verdict, "holdout_users").sentence


def test_sentences_hold_the_figures_people_ask_for() -> None:
    verdict = judge({**GOOD, "num_bad_vectors": 3.0}, RULES)
    assert "+0.0500" in _finding(verdict, "gain_over_popularity").sentence
    assert "+0.0200 to +0.0800" in _finding(verdict, "gain_over_popularity").sentence
    assert "20.0%" in _finding(verdict, "coverage").sentence
    assert _finding(verdict, "sound_vectors").sentence.startswith("3 item vectors")


BESIDE = {
    **GOOD,
    "champion_ndcg_at_10": 0.1,
    "ndcg_vs_champion_at_10": 0.0,
    "ndcg_vs_champion_at_10_low": -0.01,
    "ndcg_vs_champion_at_10_high": 0.01,
    "champion_cold_users_ndcg_at_10": 0.04,
    "cold_users_vs_champion_at_10": -0.01,
    "cold_users_vs_champion_at_10_low": -0.03,
    "cold_users_vs_champion_at_10_high": 0.01,
    "num_cold_users": 100.0,
    "champion_tail_items_ndcg_at_10": 0.02,
    "tail_items_vs_champion_at_10": -0.01,
    "tail_items_vs_champion_at_10_low": -0.02,
    "tail_items_vs_champion_at_10_high": 0.0,
    "ndcg_vs_week_popularity_at_10": 0.04,
    "ndcg_vs_week_popularity_at_10_low": 0.02,
    "ndcg_vs_week_popularity_at_10_high": 0.06,
    "num_tail_item_users": 100.0,
    "changed_share_at_10": 0.5,
    "vocabulary_overlap": 0.99,
    "index_recall_at_10": 0.99,
    "plan_p99_ms": 20.0,
}
"""Of a challenger that is just good enough beside its champion, and of the way it would be served."""


def test_a_challenger_just_good_enough_passes_every_rule() -> None:
    verdict = judge(BESIDE, RULES)
    assert verdict.passed
    assert len(verdict.findings) == 13


@pytest.mark.parametrize(
    ("metric", "figure", "rule"),
    [
        ("ndcg_vs_champion_at_10_low", -0.0101, "no_worse_than_champion"),
        ("tail_items_vs_champion_at_10_high", -0.0001, "no_worse_for_tail_items"),
        ("ndcg_vs_week_popularity_at_10_low", 0.01, "gain_over_week_popularity"),
        ("changed_share_at_10", 0.951, "changed_answers"),
        ("vocabulary_overlap", 0.79, "known_items"),
        ("index_recall_at_10", 0.989, "index_recall"),
        ("plan_p99_ms", 20.1, "latency"),
    ],
)
def test_one_rule_beside_the_champion_that_is_broken_refuses(metric: str, figure: float, rule: str) -> None:
    verdict = judge({**BESIDE, metric: figure}, RULES)
    assert [each.rule for each in verdict.findings if not each.passed] == [rule]
    missing = {name: value for name, value in BESIDE.items() if name != metric}
    if compared(missing) == compared(BESIDE) and planned(missing) == planned(BESIDE):
        assert [each.rule for each in judge(missing, RULES).findings if not each.passed] == [rule]


def test_a_gain_on_the_mean_that_a_slice_pays_for_is_refused() -> None:
    gained = {**BESIDE, "ndcg_vs_champion_at_10": 0.02, "ndcg_vs_champion_at_10_low": 0.01}
    paid = {**gained, "cold_users_vs_champion_at_10": -0.0101, "cold_users_vs_champion_at_10_high": -0.0001}
    (failed,) = [each for each in judge(paid, RULES).findings if not each.passed]
    assert failed.rule == "no_worse_for_cold_users"
    assert "users of few events" in failed.sentence
    assert judge({**paid, "cold_users_vs_champion_at_10": -0.0099}, RULES).passed  # surely lost, but within the margin
    by_chance = judge({**paid, "cold_users_vs_champion_at_10_high": 0.0}, RULES)
    assert by_chance.passed
    assert "may be chance" in _finding(by_chance, "no_worse_for_cold_users").sentence


def test_a_slice_of_few_users_is_not_judged() -> None:
    few = {
        **BESIDE,
        "num_cold_users": 99.0,
        "cold_users_vs_champion_at_10": -0.5,
        "cold_users_vs_champion_at_10_high": -0.4,
    }
    assert judge(few, RULES).passed


def test_without_a_champion_only_the_rules_of_the_model_itself_count() -> None:
    assert judge(GOOD, RULES).passed
    assert not any("champion" in finding.rule for finding in judge(GOOD, RULES).findings)


def test_a_jump_in_the_answers_asks_for_an_operator() -> None:
    assert (
        "an operator must promote it"
        in _finding(judge({**BESIDE, "changed_share_at_10": 1.0}, RULES), "changed_answers").sentence
    )


def test_what_cannot_be_compared_with_the_live_model_asks_for_an_operator() -> None:
    (failed,) = [each for each in judge({**GOOD, SAW_HOLDOUT: 1.0}, RULES).findings if not each.passed]
    assert failed.rule == "comparable_with_champion"
    assert judge({**GOOD, SAW_HOLDOUT: 0.0}, RULES).passed
