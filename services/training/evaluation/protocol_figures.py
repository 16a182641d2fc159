"""A kind of model under a protocol: fitted, frozen, asked, and counted."""

import resource
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from services.domain.evaluation_data import EvaluationData
from services.training.evaluation.intervals import bootstrap_mean
from services.training.evaluation.metrics import coverage
from services.training.evaluation.protocols import Protocol, Task, cut
from services.training.evaluation.ranking import NOTHING, Ranked, Repeats, rank_targets
from services.training.kinds.popularity import most_telling
from services.training.model import EpochReport, TrainableModel

OnEpoch = Callable[[EpochReport], None]
OnStage = Callable[[str], None]


@dataclass(frozen=True)
class Figures:
    """What a table shows of one model; means over the users who were asked about."""

    users: int
    hr_at_10: float
    ndcg_at_10: float
    recall_at_20: float
    ndcg_at_20: float
    coverage: float
    """Share of the items that are in somebody's first ten."""
    fit_seconds: float
    peak_rss_mib: float
    """Of this process so far."""
    mrr_at_10: float
    map_at_10: float
    ndcg_at_10_ci: tuple[float, float]
    """95%, resampling users."""
    with_repeats: dict[str, Any] | None = None
    """HR@10 and NDCG@10 where re-buying counts, too; P3 alone."""


def figures_of(
    data: EvaluationData,
    protocol: Protocol,
    model: TrainableModel,
    max_history: int,
    on_epoch: OnEpoch,
    on_stage: OnStage = lambda _: None,
    *,
    seed: int = 0,
) -> Figures:
    """Fits and measures, and says which of them it begins; raises NotEnoughData, TrainingFailed.

    seed: of what is drawn in cutting, and of the intervals.
    """
    on_stage("fit")
    task = cut(data, protocol, validates=model.capabilities.validates, seed=seed)
    started = time.monotonic()
    model.fit(task.dataset, on_epoch)
    fit_seconds = time.monotonic() - started
    on_stage("measure")
    return measured(task, model, max_history, fit_seconds, seed=seed)


def measured(task: Task, model: TrainableModel, max_history: int, fit_seconds: float, *, seed: int = 0) -> Figures:
    """The figures of a fitted model."""
    ranked = ranked_by(task, model, max_history, task.repeats)
    judged, shown = ranked.by_question, ranked.lists[:, :10]
    again = None
    if task.repeats is Repeats.SKIPPED and task.dataset.bounds_us:
        with_repeats = ranked_by(task, model, max_history, Repeats.SHOWN).by_question
        again = {"hr_at_10": float(with_repeats.hits(10).mean()), "ndcg_at_10": float(with_repeats.ndcg(10).mean())}
    interval = bootstrap_mean(judged.ndcg(10), judged.user_rows, seed=seed)
    return Figures(
        users=len(judged.num_relevant),
        hr_at_10=float(judged.hits(10).mean()),
        ndcg_at_10=float(judged.ndcg(10).mean()),
        recall_at_20=float(judged.recall(20).mean()),
        ndcg_at_20=float(judged.ndcg(20).mean()),
        coverage=coverage(shown[shown != NOTHING], task.dataset.num_items),
        fit_seconds=fit_seconds,
        peak_rss_mib=peak_rss_mib(),
        mrr_at_10=float(judged.reciprocal_rank(10).mean()),
        map_at_10=float(judged.average_precision(10).mean()),
        ndcg_at_10_ci=(interval.low, interval.high),
        with_repeats=again,
    )


def ranked_by(task: Task, model: TrainableModel, max_history: int, repeats: Repeats) -> Ranked:
    dataset = task.dataset
    return rank_targets(
        model.score, dataset.holdout, dataset.histories, most_telling(dataset), max_history, repeats=repeats
    )


def peak_rss_mib() -> float:
    """The most memory this process has held at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
