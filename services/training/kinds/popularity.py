"""The popularity model: the same order for everybody. The baseline of every gate, and what a stranger gets.

What was popular in the last days often beats what was popular ever; how many days is chosen on validation.
"""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
from safetensors.numpy import load_file, save_file

from services.training.data.dataset import Dataset, Weights
from services.training.evaluation.ranking import rank_targets
from services.training.model import STATE, Capabilities, EpochReport, FitEnd, Floats, History, Table

DAY_US: Final = 86_400_000_000
WINDOWS_DAYS: Final = (1, 3, 7, 14, 30, 90)
HALF_LIVES_DAYS: Final = (3, 7, 30)
MAX_VALIDATION_QUESTIONS: Final = 5_000  # larger: slower; smaller: chance chooses


class Popularity:
    """Scores an item by the signed weights of its events, summed; it has no vectors and looks at no history."""

    kind = "popularity"
    dim = 0
    capabilities = Capabilities(validates=True)

    def __init__(self) -> None:
        self.scores: Floats = np.empty(0, np.float32)

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:  # noqa: ARG002 - no epochs here
        self.scores = most_telling(dataset)
        return FitEnd.COMPLETED

    def score(self, histories: Sequence[History]) -> Floats:
        return _for_all(self.scores, histories)

    def encode_users(self, histories: Sequence[History]) -> Floats:
        return np.empty((len(histories), 0), np.float32)

    def item_vectors(self) -> Floats:
        return np.empty((len(self.scores), 0), np.float32)

    def serving_tables(self) -> Mapping[str, Table]:
        return {}

    def encoder_onnx(self) -> None:
        return None

    def save(self, folder: Path) -> None:
        save_file({"scores": self.scores}, folder / STATE)

    def load(self, folder: Path) -> None:
        self.scores = load_file(folder / STATE)["scores"]


def most_telling(dataset: Dataset) -> Weights:
    """The scores (num_items,) by which the popular items of validation were best foretold; finite.

    What is weighed against one another: each user's newest event of an item ever, in a window that ends where the
    holdout begins, and with a weight that halves. Where times are not comparable between users, or nothing
    validates, those ever.
    """
    fit_end_us = dataset.bounds_us.get("fit_end_us")
    if fit_end_us is None or not len(dataset.validation):
        return dataset.popularity
    moments = dataset.validation.thinned(MAX_VALIDATION_QUESTIONS)

    def worth(share: _Share) -> float:
        scores = _popularity(dataset, share, fit_end_us)
        ranked = rank_targets(lambda asked: _for_all(scores, asked), moments, dataset.histories, scores, max_history=1)
        return float(ranked.by_moment.ndcg(10).mean()) if len(ranked) else 0.0

    best = max(_SHARES, key=worth)  # of equals the first, and so ever
    return _popularity(dataset, best, dataset.bounds_us["cut_us"])


def of_last_days(dataset: Dataset, days: float) -> Weights:
    """The scores (num_items,) by the last days before the holdout; ever where users share no clock."""
    cut_us = dataset.bounds_us.get("cut_us")
    if cut_us is None:
        return dataset.popularity
    return _popularity(dataset, lambda age: np.where(age <= days, 1.0, 0.0), cut_us)


_Share = Callable[[npt.NDArray[np.float64]], npt.NDArray[np.float64]]
"""What an event of an age in days counts, from 0 to 1."""

_SHARES: Final[Sequence[_Share]] = (
    np.ones_like,
    *(lambda age, days=days: (age <= days) * 1.0 for days in WINDOWS_DAYS),
    *(lambda age, days=days: 0.5 ** (age / days) for days in HALF_LIVES_DAYS),
)


def _popularity(dataset: Dataset, share: _Share, until_us: int) -> Weights:
    latest = dataset.counted.latest(until_us)
    ever = latest.by_item(dataset.num_items)
    recent = latest.by_item(dataset.num_items, share((until_us - latest.times_us) / DAY_US))
    # What the window does not tell apart is in the order of ever: less than one event, whatever their number.
    scores: Weights = (recent + ever / (np.abs(ever).sum() + 1.0)).astype(np.float32)
    return scores


def _for_all(scores: Floats, histories: Sequence[History]) -> Floats:
    return np.broadcast_to(scores, (len(histories), len(scores)))
