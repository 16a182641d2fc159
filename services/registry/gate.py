"""The gate: what a model must show on the holdout before it may serve. Pure; law 4 rests on it."""

import math
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final, TypeAlias

from services.domain.models import Finding, Verdict

Metrics: TypeAlias = Mapping[str, float]


@dataclass(frozen=True, slots=True)
class GateRules:
    """The thresholds; see GateSettings for what each one means to an operator."""

    min_gain_over_popularity: float = 0.0
    min_coverage: float = 0.01
    max_gini: float = 0.9995
    min_holdout_users: int = 30
    max_loss_to_champion: float = 0.1
    max_slice_loss_to_champion: float = 0.25
    min_slice_users: int = 100
    max_changed_share: float = 0.95
    min_vocabulary_overlap: float = 0.8
    min_index_recall: float = 0.99
    max_plan_p99_ms: float = 20.0


SAW_HOLDOUT: Final = "champion_saw_holdout"
"""Above 0 where the live model knows some of the held-out events, as after the log was cut back."""
WEEKLY: Final = "ndcg_vs_week_popularity_at_10"
SLICES: Final = (
    ("cold_users", "num_cold_users", "users of few events"),
    ("tail_items", "num_tail_item_users", "items that few choose"),
)
"""Name, figure with its number of users, and what it is in words: those who pay first for a gain of all others."""


def judge(metrics: Metrics, rules: GateRules) -> Verdict:
    """The verdict on a model's metrics, one finding a rule; a figure that is missing or NaN fails its rule.

    The rules beside the champion hold only for metrics that were taken beside it, and those of the plan only for a
    planned model: `compared` and `planned` say so.
    """
    found = [_gain(metrics, rules), _holdout(metrics, rules), _coverage(metrics, rules), _gini(metrics, rules)]
    found.append(_vectors(metrics))
    if WEEKLY in metrics:
        found.append(_gain(metrics, rules, WEEKLY, "week_popularity", "the last seven days' popularity"))
    if metrics.get(SAW_HOLDOUT):
        found.append(_incomparable())
    if compared(metrics):
        found += [_champion(metrics, rules), *_slices(metrics, rules), _changed(metrics, rules)]
        found.append(_vocabulary(metrics, rules))
    if planned(metrics):
        found += [_recall(metrics, rules), _latency(metrics, rules)]
    return Verdict(tuple(found))


def measured(version: str, judged: Mapping[str, Any], planned: Mapping[str, Any]) -> Metrics:
    """The metrics of a version from what judging and planning said last; see their modules' `__main__`."""
    ranked: Metrics = judged["figures"].get(version, {})
    served: Metrics = planned.get("figures", {}).get(version, {})
    return {**ranked, SAW_HOLDOUT: float(judged.get(SAW_HOLDOUT, False)), **served}


def compared(metrics: Metrics) -> bool:
    """Whether the figures were taken beside a champion's, on the same events."""
    return "champion_ndcg_at_10" in metrics


def planned(metrics: Metrics) -> bool:
    """Whether the figures are also those of a way to serve it."""
    return "plan_p99_ms" in metrics


def _gain(
    metrics: Metrics,
    rules: GateRules,
    metric: str = "ndcg_gain_at_10",
    name: str = "popularity",
    whose: str = "popularity",
) -> Finding:
    """The lower end, not the gain itself: a lucky night must not look like a better model."""
    low = _figure(metrics, f"{metric}_low")
    high = _figure(metrics, f"{metric}_high")
    threshold = rules.min_gain_over_popularity
    passed = low > threshold
    sentence = (
        f"NDCG@10 is {_signed(_figure(metrics, metric))} over {whose}'s "
        f"(interval {_signed(low)} to {_signed(high)}); "
        f"the lower end is {'above' if passed else 'not above'} {_signed(threshold)}."
    )
    return _finding(f"gain_over_{name}", f"{metric}_low", low, threshold, passed, sentence)


def _holdout(metrics: Metrics, rules: GateRules) -> Finding:
    """The gain's interval comes from resampling users: of one user it has no width, of a few it is too narrow."""
    return _at_least(
        metrics,
        "holdout_users",
        "num_holdout_users",
        rules.min_holdout_users,
        lambda figure, bound: f"The figures rest on {figure:.0f} held-out users; {bound} {rules.min_holdout_users}.",
        less="fewer than",
    )


def _coverage(metrics: Metrics, rules: GateRules) -> Finding:
    return _at_least(
        metrics,
        "coverage",
        "coverage_at_10",
        rules.min_coverage,
        lambda figure, bound: (
            f"{figure:.1%} of the catalogue appears in somebody's top 10; {bound} {rules.min_coverage:.1%}."
        ),
    )


def _gini(metrics: Metrics, rules: GateRules) -> Finding:
    return _at_most(
        metrics,
        "concentration",
        "gini_at_10",
        rules.max_gini,
        lambda figure, bound: (
            f"How unevenly the top 10 show the catalogue, as Gini's coefficient, is {figure:.4f}; "
            f"{bound} {rules.max_gini:g}."
        ),
    )


def _vectors(metrics: Metrics) -> Finding:
    num_bad = _figure(metrics, "num_bad_vectors")
    sentence = "Every item vector is finite and not zero."
    if num_bad:
        sentence = f"{num_bad:.0f} item vectors are zero or not finite; none may be."
    return _finding("sound_vectors", "num_bad_vectors", num_bad, 0.0, num_bad == 0, sentence)


def _incomparable() -> Finding:
    """Not a model's fault; but what is live must not be replaced by what nobody compared with it."""
    known = "The live model has seen some of the held-out events, so nobody can compare the two"
    return Finding(
        "comparable_with_champion", 1.0, 0.0, passed=False, sentence=f"{known}: an operator must promote it."
    )


def _champion(metrics: Metrics, rules: GateRules) -> Finding:
    """Non-inferiority: the lower end of the paired interval is above minus a margin, a share of the champion's own."""
    metric, share = "ndcg_vs_champion_at_10", rules.max_loss_to_champion
    threshold = -share * _figure(metrics, "champion_ndcg_at_10")
    low = _figure(metrics, f"{metric}_low")
    passed = low >= threshold
    sentence = (
        f"NDCG@10 is {_beside(metrics, metric)}; the lower end is {'not below' if passed else 'below'} "
        f"{_signed(threshold)}, which is {share:.0%} of the champion's."
    )
    return _finding("no_worse_than_champion", f"{metric}_low", low, threshold, passed, sentence)


def _slices(metrics: Metrics, rules: GateRules) -> Iterator[Finding]:
    """A slice fails when it lost more than its margin, and the loss is no chance: its interval is below 0.

    Not by the lower end: on a small shop a slice's interval is wider than any margin, and every night would be refused.
    """
    share = rules.max_slice_loss_to_champion
    for name, num_users, what in SLICES:
        if metrics.get(num_users, 0.0) < rules.min_slice_users:
            continue
        metric = f"{name}_vs_champion_at_10"
        loss, high = _figure(metrics, metric), _figure(metrics, f"{metric}_high")
        threshold = -share * _figure(metrics, f"champion_{name}_ndcg_at_10")
        passed = loss >= threshold or high >= 0
        said = f"less than {share:.0%} of the champion's is lost"
        if loss < threshold:
            said = f"{share:.0%} of the champion's or more is lost{', but it may be chance' if passed else ''}"
        sentence = f"NDCG@10 of {what} is {_beside(metrics, metric)}; {said}."
        yield _finding(f"no_worse_for_{name}", metric, loss, threshold, passed, sentence)


def _beside(metrics: Metrics, metric: str) -> str:
    low, high = _figure(metrics, f"{metric}_low"), _figure(metrics, f"{metric}_high")
    return f"{_signed(_figure(metrics, metric))} beside the champion's (interval {_signed(low)} to {_signed(high)})"


def _changed(metrics: Metrics, rules: GateRules) -> Finding:
    def sentence(figure: float, bound: str) -> str:
        said = f"{figure:.0%} of the items in a user's top 10 are not in the champion's; {bound} "
        said += f"{rules.max_changed_share:.0%}."
        return said if figure <= rules.max_changed_share else f"{said} Users would see it: an operator must promote it."

    return _at_most(metrics, "changed_answers", "changed_share_at_10", rules.max_changed_share, sentence)


def _vocabulary(metrics: Metrics, rules: GateRules) -> Finding:
    return _at_least(
        metrics,
        "known_items",
        "vocabulary_overlap",
        rules.min_vocabulary_overlap,
        lambda figure, bound: (
            f"It knows the items of {figure:.1%} of the events of the champion's items; "
            f"{bound} {rules.min_vocabulary_overlap:.1%}."
        ),
    )


def _recall(metrics: Metrics, rules: GateRules) -> Finding:
    return _at_least(
        metrics,
        "index_recall",
        "index_recall_at_10",
        rules.min_index_recall,
        lambda figure, bound: (
            f"Its index finds {figure:.2%} of the exact top 10; {bound} {rules.min_index_recall:.2%}."
        ),
    )


def _latency(metrics: Metrics, rules: GateRules) -> Finding:
    return _at_most(
        metrics,
        "latency",
        "plan_p99_ms",
        rules.max_plan_p99_ms,
        lambda figure, bound: (
            f"To rank one user's items takes {figure:.1f} ms of a core (p99); {bound} {rules.max_plan_p99_ms:g} ms."
        ),
    )


_Sentence: TypeAlias = Callable[[float, str], str]
"""Of a figure, and of how it lies to its threshold."""


def _at_least(
    metrics: Metrics, rule: str, metric: str, threshold: float, sentence: _Sentence, less: str = "less than"
) -> Finding:
    figure = _figure(metrics, metric)
    passed = figure >= threshold
    return _finding(rule, metric, figure, threshold, passed, sentence(figure, "at least" if passed else less))


def _at_most(metrics: Metrics, rule: str, metric: str, threshold: float, sentence: _Sentence) -> Finding:
    figure = _figure(metrics, metric)
    passed = figure <= threshold
    return _finding(rule, metric, figure, threshold, passed, sentence(figure, "at most" if passed else "more than"))


def _figure(metrics: Metrics, name: str) -> float:
    return metrics.get(name, math.nan)


def _finding(rule: str, metric: str, figure: float, threshold: float, passed: bool, sentence: str) -> Finding:
    if math.isnan(figure):
        sentence = f"The training run reported no {metric}, so this rule cannot hold."
    return Finding(rule=rule, figure=figure, threshold=threshold, passed=passed, sentence=sentence)


def _signed(value: float) -> str:
    return "unknown" if math.isnan(value) else f"{value:+.4f}"
