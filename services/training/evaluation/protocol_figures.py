"""A kind of model under a protocol: fitted, frozen, asked, and counted."""

import resource
import sys
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass

from services.domain.errors import NotEnoughData
from services.domain.evaluation_data import EvaluationData
from services.features.history import Rows
from services.training.data.dataset import Dataset
from services.training.evaluation.calibration import miscalibration
from services.training.evaluation.exposure import gini, novelty, self_information
from services.training.evaluation.intervals import bootstrap_mean
from services.training.evaluation.metrics import coverage
from services.training.evaluation.protocols import Protocol, Task, cut
from services.training.evaluation.ranking import NOTHING, Ranked, Repeats, rank_targets
from services.training.evaluation.slices import Slice, slices
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
    novelty: float
    """Bits that an item in somebody's first ten says of them; this and the next three: see their modules."""
    gini: float
    miscalibration: float | None
    slices: list[Slice]
    with_repeats: dict[str, float] | None = None
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
    """The figures of a fitted model; raises NotEnoughData when all that is asked for repeats what a user had before."""
    dataset, ranked = task.dataset, ranked_by(task, model, max_history, task.repeats)
    if not len(ranked):
        raise NotEnoughData("Each item of the test is one that its user had before; there is nothing to predict.")
    judged, shown = ranked.by_question, ranked.lists[:, :10]
    information = self_information(dataset.counted, dataset.num_items)
    interval = bootstrap_mean(judged.ndcg(10), judged.user_rows, seed=seed)
    return Figures(
        users=len(judged.num_relevant),
        hr_at_10=float(judged.hits(10).mean()),
        ndcg_at_10=float(judged.ndcg(10).mean()),
        recall_at_20=float(judged.recall(20).mean()),
        ndcg_at_20=float(judged.ndcg(20).mean()),
        coverage=coverage(shown[shown != NOTHING], dataset.num_items),
        fit_seconds=fit_seconds,
        peak_rss_mib=peak_rss_mib(),
        mrr_at_10=float(judged.reciprocal_rank(10).mean()),
        map_at_10=float(judged.average_precision(10).mean()),
        ndcg_at_10_ci=(interval.low, interval.high),
        novelty=novelty(shown, information),
        gini=gini(shown, dataset.num_items),
        miscalibration=miscalibration(histories_asked(ranked, dataset, max_history), shown, dataset.content),
        slices=slices(ranked, dataset, seed),
        with_repeats=_with_repeats(task, model, max_history) if task.dataset.bounds_us else None,
    )


def _with_repeats(task: Task, model: TrainableModel, max_history: int) -> dict[str, float]:
    judged = ranked_by(task, model, max_history, Repeats.SHOWN).by_question
    return {"hr_at_10": float(judged.hits(10).mean()), "ndcg_at_10": float(judged.ndcg(10).mean())}


def ranked_by(task: Task, model: TrainableModel, max_history: int, repeats: Repeats) -> Ranked:
    dataset = task.dataset
    return rank_targets(
        model.score, dataset.holdout, dataset.histories, most_telling(dataset), max_history, repeats=repeats
    )


def histories_asked(ranked: Ranked, dataset: Dataset, max_history: int) -> Iterator[Rows]:
    """The item rows that each list was an answer to."""
    for user, time_us in zip(ranked.question_users.tolist(), ranked.question_times_us.tolist(), strict=True):
        yield dataset.histories.as_of(user, time_us, max_history).items


def peak_rss_mib() -> float:
    """The most memory this process has held at once."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak / 2**20 if sys.platform == "darwin" else peak / 2**10
