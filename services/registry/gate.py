"""The gate: what a model must show on the holdout before it may serve. Pure; law 4 rests on it."""

import math
from collections.abc import Mapping
from dataclasses import dataclass

from services.domain.models import Finding, Verdict


@dataclass(frozen=True, slots=True)
class GateRules:
    """The thresholds; see GateSettings for what each one means to an operator."""

    min_gain_over_popularity: float = 0.0
    min_coverage: float = 0.01
    min_holdout_users: int = 30


def judge(metrics: Mapping[str, float], rules: GateRules) -> Verdict:
    """The verdict on a model's metrics, one finding a rule; a figure that is missing or NaN fails its rule."""
    return Verdict((_gain(metrics, rules), _holdout(metrics, rules), _coverage(metrics, rules), _vectors(metrics)))


def _gain(metrics: Mapping[str, float], rules: GateRules) -> Finding:
    """The lower end, not the gain itself: a lucky night must not look like a better model."""
    low = _figure(metrics, "ndcg_gain_at_10_low")
    high = _figure(metrics, "ndcg_gain_at_10_high")
    threshold = rules.min_gain_over_popularity
    passed = low > threshold
    sentence = (
        f"NDCG@10 is {_signed(_figure(metrics, 'ndcg_gain_at_10'))} over popularity's "
        f"(interval {_signed(low)} to {_signed(high)}); "
        f"the lower end is {'above' if passed else 'not above'} {_signed(threshold)}."
    )
    return _finding("gain_over_popularity", "ndcg_gain_at_10_low", low, threshold, passed, sentence)


def _holdout(metrics: Mapping[str, float], rules: GateRules) -> Finding:
    """The gain's interval comes from resampling users: of one user it has no width, of a few it is too narrow."""
    num_users = _figure(metrics, "num_holdout_users")
    passed = num_users >= rules.min_holdout_users
    sentence = (
        f"The figures rest on {num_users:.0f} held-out users; "
        f"{'at least' if passed else 'fewer than'} {rules.min_holdout_users}."
    )
    return _finding("holdout_users", "num_holdout_users", num_users, rules.min_holdout_users, passed, sentence)


def _coverage(metrics: Mapping[str, float], rules: GateRules) -> Finding:
    coverage = _figure(metrics, "coverage_at_10")
    passed = coverage >= rules.min_coverage
    sentence = (
        f"{coverage:.1%} of the catalogue appears in somebody's top 10; "
        f"{'at least' if passed else 'less than'} {rules.min_coverage:.1%}."
    )
    return _finding("coverage", "coverage_at_10", coverage, rules.min_coverage, passed, sentence)


def _vectors(metrics: Mapping[str, float]) -> Finding:
    num_bad = _figure(metrics, "num_bad_vectors")
    sentence = "Every item vector is finite and not zero."
    if num_bad:
        sentence = f"{num_bad:.0f} item vectors are zero or not finite; none may be."
    return _finding("sound_vectors", "num_bad_vectors", num_bad, 0.0, num_bad == 0, sentence)


def _figure(metrics: Mapping[str, float], name: str) -> float:
    return metrics.get(name, math.nan)


def _finding(rule: str, metric: str, figure: float, threshold: float, passed: bool, sentence: str) -> Finding:
    if math.isnan(figure):
        sentence = f"The training run reported no {metric}, so this rule cannot hold."
    return Finding(rule=rule, figure=figure, threshold=threshold, passed=passed, sentence=sentence)


def _signed(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:+.4f}"
