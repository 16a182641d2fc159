"""What the gate promises."""

import math

import pytest

from services.domain.models import Finding, Verdict
from services.registry.gate import GateRules, judge

RULES = GateRules(min_gain_over_popularity=0.01, min_coverage=0.2, min_holdout_users=50)
GOOD = {
    "ndcg_gain_at_10": 0.05,
    "ndcg_gain_at_10_low": 0.02,
    "ndcg_gain_at_10_high": 0.08,
    "num_holdout_users": 50.0,
    "coverage_at_10": 0.2,
    "num_bad_vectors": 0.0,
}


def _finding(verdict: Verdict, rule: str) -> Finding:
    (finding,) = [each for each in verdict.findings if each.rule == rule]
    return finding


def test_a_model_that_holds_every_rule_passes() -> None:
    verdict = judge(GOOD, RULES)
    assert verdict.passed
    rules = ["gain_over_popularity", "holdout_users", "coverage", "sound_vectors"]
    assert [each.rule for each in verdict.findings] == rules


@pytest.mark.parametrize(
    ("metric", "figure", "rule"),
    [
        ("ndcg_gain_at_10_low", 0.01, "gain_over_popularity"),
        ("ndcg_gain_at_10_low", -0.3, "gain_over_popularity"),
        ("num_holdout_users", 49.0, "holdout_users"),
        ("coverage_at_10", 0.1999, "coverage"),
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
