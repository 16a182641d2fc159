"""The figures of a frozen model on the held-out last part in time: what the gate judges and the manifest keeps."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from services.domain.errors import NotEnoughData
from services.training.data.dataset import Dataset, Moments
from services.training.evaluation.comparison import Gain, gain
from services.training.evaluation.exposure import gini, novelty, self_information
from services.training.evaluation.metrics import coverage
from services.training.evaluation.ranking import NOTHING, Ranked, rank_targets
from services.training.evaluation.slices import Slice, slices
from services.training.kinds.popularity import Popularity
from services.training.model import Floats, History, TrainableModel

TOP: Final = 10
MAX_QUESTIONS: Final = 50_000  # larger: minutes of measuring; smaller: a wider interval


@dataclass(frozen=True)
class Measurement:
    """What the holdout says of a model."""

    figures: dict[str, float]
    """What the gate judges and the manifest keeps."""
    slices: list[Slice]
    found: Ranked
    """Its answers."""


class Answering(Protocol):
    """What is measured: a model, or a bundle that serves as one."""

    def score(self, histories: Sequence[History], /) -> Floats: ...

    def item_vectors(self) -> Floats: ...


def measure(model: TrainableModel, dataset: Dataset, max_history: int, seed: int) -> dict[str, float]:
    """The figures alone of `measured`."""
    return measured(model, dataset, max_history, seed).figures


def measured(model: Answering, dataset: Dataset, max_history: int, seed: int) -> Measurement:
    """The model's and popularity's figures on the holdout, measured alike (see `ranking`), and their difference.

    The gain's interval (95%, paired, resampling users) is of the same events for both. Raises NotEnoughData when every
    held-out event had to be skipped, and TrainingFailed for scores that are no numbers.
    """
    moments, popularity = asked(dataset), fitted_popularity(dataset)
    found, popular = (
        rank_targets(score, moments, dataset.histories, popularity.scores, max_history)
        for score in (model.score, popularity.score)
    )
    return measurement(found, popular, dataset, seed, num_bad_vectors(model.item_vectors()))


def asked(dataset: Dataset) -> Moments:
    """What of the holdout is asked for."""
    return dataset.holdout.thinned(MAX_QUESTIONS)


def fitted_popularity(dataset: Dataset) -> Popularity:
    """The baseline."""
    baseline = Popularity()
    baseline.fit(dataset, lambda _: None)
    return baseline


def measurement(found: Ranked, popular: Ranked, dataset: Dataset, seed: int, num_bad_vectors: int) -> Measurement:
    """What answers say, beside those of popularity to the same questions; raises NotEnoughData when there are none."""
    if not len(found):
        raise NotEnoughData("Every held-out event repeats an item its user was done with; there is nothing to predict.")
    judged = found.by_moment
    better = gain(judged.ndcg(TOP), popular.by_moment.ndcg(TOP), judged.user_rows, seed=seed)
    figures = {
        **_figures(found, dataset),
        **{f"popularity_{name}": figure for name, figure in _figures(popular, dataset).items()},
        **told("ndcg_gain_at_10", better),
        "num_holdout_events": float(len(found)),
        "num_holdout_users": float(len(np.unique(judged.user_rows))),
        "num_holdout_skipped": float(found.num_skipped),
        "num_holdout_unknown_items": float(np.count_nonzero(found.targets == 0)),  # no such target is ever skipped
        "num_bad_vectors": float(num_bad_vectors),
    }
    return Measurement(figures, slices(found, dataset, seed), found)


def told(name: str, better: Gain) -> dict[str, float]:
    """A difference and the ends of its interval."""
    return {name: better.mean, f"{name}_low": better.interval.low, f"{name}_high": better.interval.high}


def num_bad_vectors(vectors: Floats) -> int:
    """How many rows hold a value that is not finite, or nothing but zeros; vectors without a dimension are not bad."""
    if vectors.shape[1] == 0:
        return 0
    return int(np.count_nonzero(~np.isfinite(vectors).all(axis=1) | ~vectors.any(axis=1)))


def _figures(found: Ranked, dataset: Dataset) -> dict[str, float]:
    shown, judged = found.lists[:, :TOP], found.by_moment
    return {
        "ndcg_at_10": float(judged.ndcg(10).mean()),
        "hr_at_10": float(judged.hits(10).mean()),
        "recall_at_20": float(judged.recall(20).mean()),
        "mrr_at_10": float(judged.reciprocal_rank(10).mean()),
        "coverage_at_10": coverage(shown[shown != NOTHING], dataset.num_items),
        "novelty_at_10": novelty(shown, self_information(dataset.counted, dataset.num_items)),
        "gini_at_10": gini(shown, dataset.num_items),
    }
