"""What every model kind offers to the rest of training: fit once, then score; it never learns outside `fit`."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Protocol, TypeAlias

import numpy as np
import numpy.typing as npt

from services.features.history import Rows
from services.training.dataset import Dataset

History: TypeAlias = tuple[Rows, Rows]
"""Item rows and event-type rows of one user, int64 (length,), oldest first; both may be empty."""

Floats: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class EpochReport:
    """One pass over the training sequences, for whoever watches."""

    epoch: int
    """Counts from 1."""
    max_epochs: int
    loss: float
    """Mean cross-entropy over the epoch, weighted as the targets are, nats."""
    valid_ndcg_at_10: float
    """0 when no validation event can be predicted, because each repeats an item its user was done with."""
    examples_per_s: float
    """Events learned from, per second of this epoch."""
    elapsed_s: float
    """Since fit began."""


class FitEnd(StrEnum):
    """Why fitting ended; the manifest keeps it, since a run that ran out of time may end elsewhere when repeated."""

    COMPLETED = "completed"
    NO_LONGER_BETTER = "no_longer_better"
    TIME_LIMIT = "time_limit"


class TrainableModel(Protocol):
    """A model kind. Item vectors and scores are in item-row order without row 0: row r is at index r - 1."""

    @property
    def kind(self) -> str: ...

    @property
    def dim(self) -> int:
        """Dimension of user and item vectors; 0 for a kind without vectors."""
        ...

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        """Learns from dataset.sequences, looking at dataset.validation only to stop.

        Raises TrainingFailed, and NotEnoughData when there is nothing that this kind can learn from.
        """
        ...

    def score(self, histories: Sequence[History]) -> Floats:
        """Scores of all items, (len(histories), num_items); larger is better. No history may be empty."""
        ...

    def user_vectors(self, histories: Sequence[History]) -> Floats:
        """(len(histories), dim); a score is the dot product of a user and an item vector. No history may be empty."""
        ...

    def item_vectors(self) -> Floats:
        """(num_items, dim)."""
        ...

    def encoder_onnx(self) -> bytes | None:
        """What gives the user vectors in serving, as `domain.bundles` describes it; None for a kind without any."""
        ...
