"""The figures of a frozen model on the held-out last part in time: what the gate judges and the manifest keeps."""

from typing import Final

import numpy as np

from services.domain.errors import NotEnoughData
from services.training.data.dataset import Dataset
from services.training.evaluation.intervals import bootstrap_mean
from services.training.evaluation.metrics import coverage
from services.training.evaluation.ranking import NOTHING, Ranked, Score, rank_targets
from services.training.kinds.popularity import Popularity
from services.training.model import Floats, TrainableModel

TOP: Final = 10
MAX_MOMENTS: Final = 50_000  # larger: minutes of measuring; smaller: a wider interval


def measure(model: TrainableModel, dataset: Dataset, max_history: int, seed: int) -> dict[str, float]:
    """The model's and popularity's figures on the holdout, measured alike (see `evaluate`), and their difference.

    The gain's interval (95%, paired, resampling users) is of the same events for both. Raises NotEnoughData when every
    held-out event had to be skipped, and TrainingFailed for scores that are no numbers.
    """
    baseline = Popularity()
    baseline.fit(dataset, lambda _: None)

    moments, popularity = dataset.holdout.thinned(MAX_MOMENTS), baseline.scores

    def ranked_by(score: Score) -> Ranked:
        return rank_targets(score, moments, dataset.histories, popularity, max_history)

    found, popular = ranked_by(model.score), ranked_by(baseline.score)
    if not len(found):
        raise NotEnoughData("Every held-out event repeats an item its user was done with; there is nothing to predict.")
    judged = found.by_moment
    gains = judged.ndcg(TOP) - popular.by_moment.ndcg(TOP)
    interval = bootstrap_mean(gains, judged.user_rows, seed=seed)
    return {
        **_figures(found, dataset.num_items),
        **{f"popularity_{name}": figure for name, figure in _figures(popular, dataset.num_items).items()},
        "ndcg_gain_at_10": float(gains.mean()),
        "ndcg_gain_at_10_low": interval.low,
        "ndcg_gain_at_10_high": interval.high,
        "num_holdout_events": float(len(found)),
        "num_holdout_users": float(len(np.unique(judged.user_rows))),
        "num_holdout_skipped": float(found.num_skipped),
        "num_holdout_unknown_items": float(np.count_nonzero(moments.targets == 0)),
        "num_bad_vectors": float(num_bad_vectors(model.item_vectors())),
    }


def num_bad_vectors(vectors: Floats) -> int:
    """How many rows hold a value that is not finite, or nothing but zeros; vectors without a dimension are not bad."""
    if vectors.shape[1] == 0:
        return 0
    return int(np.count_nonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)))


def _figures(found: Ranked, num_items: int) -> dict[str, float]:
    shown, judged = found.lists[:, :TOP], found.by_moment
    return {
        "ndcg_at_10": float(judged.ndcg(10).mean()),
        "hr_at_10": float(judged.hits(10).mean()),
        "recall_at_20": float(judged.recall(20).mean()),
        "coverage_at_10": coverage(shown[shown != NOTHING], num_items),
    }
