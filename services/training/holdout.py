"""The figures of a frozen model on the held-out last part in time: what the gate judges and the manifest keeps."""

import numpy as np

from services.domain.errors import NotEnoughData
from services.training.dataset import Dataset
from services.training.evaluate import TOP, Ranks, Score, rank_targets
from services.training.metrics import bootstrap_mean, coverage, hits, ndcg
from services.training.model import Floats, TrainableModel
from services.training.popularity import Popularity

NUM_RESAMPLES = 2_000  # larger: seconds of waiting; smaller: the interval's ends wobble in their second digit


def measure(model: TrainableModel, dataset: Dataset, max_history: int, seed: int) -> dict[str, float]:
    """The model's and popularity's figures on the holdout, measured alike (see `evaluate`), and their difference.

    The gain's interval (95%, paired, resampling users) is of the same events for both. Raises NotEnoughData when every
    held-out event had to be skipped, and TrainingFailed for scores that are no numbers.
    """
    baseline = Popularity()
    baseline.fit(dataset, lambda _: None)

    def ranks_of(score: Score) -> Ranks:
        return rank_targets(score, dataset.holdout, dataset.histories, dataset.popularity, max_history)

    found, popular = ranks_of(model.score), ranks_of(baseline.score)
    if not len(found.ranks):
        raise NotEnoughData("Every held-out event repeats an item its user was done with; there is nothing to predict.")
    gains = ndcg(found.ranks, TOP) - ndcg(popular.ranks, TOP)
    interval = bootstrap_mean(gains, found.user_rows, num_resamples=NUM_RESAMPLES, seed=seed)
    return {
        **_figures(found, dataset.num_items),
        **{f"popularity_{name}": figure for name, figure in _figures(popular, dataset.num_items).items()},
        "ndcg_gain_at_10": float(gains.mean()),
        "ndcg_gain_at_10_low": interval.low,
        "ndcg_gain_at_10_high": interval.high,
        "num_holdout_events": float(len(found.ranks)),
        "num_holdout_users": float(len(np.unique(found.user_rows))),
        "num_holdout_skipped": float(found.num_skipped),
        "num_holdout_unknown_items": float(np.count_nonzero(dataset.holdout.targets == 0)),
        "num_bad_vectors": float(num_bad_vectors(model.item_vectors())),
    }


def num_bad_vectors(vectors: Floats) -> int:
    """How many rows hold a value that is not finite, or nothing but zeros; vectors without a dimension are not bad."""
    if vectors.shape[1] == 0:
        return 0
    return int(np.count_nonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)))


def _figures(found: Ranks, num_items: int) -> dict[str, float]:
    return {
        "ndcg_at_10": float(ndcg(found.ranks, 10).mean()),
        "hr_at_10": float(hits(found.ranks, 10).mean()),
        "recall_at_20": float(hits(found.ranks, 20).mean()),
        "coverage_at_10": coverage(found.shown, num_items),
    }
