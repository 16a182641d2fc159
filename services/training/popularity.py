"""The popularity model: the same order for everybody, by what was said before the cut. The baseline of every gate."""

from collections.abc import Callable, Sequence

import numpy as np

from services.training.dataset import Dataset
from services.training.model import EpochReport, FitEnd, Floats, History


class Popularity:
    """Scores an item by the signed weights of its events, summed; it has no vectors and looks at no history."""

    kind = "popularity"
    dim = 0

    def __init__(self) -> None:
        self._counts: Floats = np.empty(0, np.float32)

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:  # noqa: ARG002 - no epochs here
        self._counts = dataset.popularity
        return FitEnd.COMPLETED

    def score(self, histories: Sequence[History]) -> Floats:
        return np.broadcast_to(self._counts, (len(histories), len(self._counts)))

    def user_vectors(self, histories: Sequence[History]) -> Floats:
        return np.empty((len(histories), 0), np.float32)

    def item_vectors(self) -> Floats:
        return np.empty((len(self._counts), 0), np.float32)

    def encoder_onnx(self) -> None:
        return None
