"""What every model kind offers to the rest of training: fit once, then score; it never learns outside `fit`."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final, Protocol, TypeAlias, runtime_checkable

import numpy as np
import numpy.typing as npt

from services.domain.history_input import HistoryRows
from services.domain.vocabulary import Vocabulary
from services.training.data.dataset import Dataset

History: TypeAlias = HistoryRows

Floats: TypeAlias = npt.NDArray[np.float32]
Table: TypeAlias = npt.NDArray[np.float32] | npt.NDArray[np.int32]
STATE: Final = "state.safetensors"
"""The file of a fitted state."""


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


@dataclass(frozen=True, slots=True)
class Capabilities:
    """What a kind can do beyond scoring; whoever asks for more than that reads it here instead of trying."""

    personal: bool = False
    """Different users get different scores."""
    validates: bool = False
    """Fitting looks at dataset.validation, to stop or to choose; of one that does not, nothing need be kept from it."""
    ordered: bool = False
    """The order of a history matters."""
    new_items: bool = False
    """An item without events gets a usable vector from its content."""
    warm_start: bool = False
    """It is WarmStarting."""
    resumable: bool = False
    """It is Resumable: fitting goes on from a checkpoint."""
    max_items: int | None = None
    """The largest catalogue it can be fitted to; None: whatever memory holds."""


@runtime_checkable
class Resumable(Protocol):
    """A kind whose fitting goes on where a killed run was."""

    def resume(self, checkpoint: Path, key: str) -> None:
        """From now on `fit` keeps how far it is in this file, and starts from it if it holds progress of this key."""
        ...


@dataclass(frozen=True)
class EarlierModel:
    """A model to start from."""

    folder: Path
    """What `save` wrote."""
    vocabulary: Vocabulary
    learned_until_us: int
    """It learned from what happened before this moment, its validation part included."""


@runtime_checkable
class WarmStarting(Protocol):
    """A kind that can learn on from where an earlier model of it was, from what happened since."""

    def start_from(self, earlier: EarlierModel) -> None:
        """From now on `fit` does so; raises UnfitToStartFrom for another shape, BundleBroken for a broken file."""
        ...


class TrainableModel(Protocol):
    """A model kind. Item vectors and scores are in item-row order without row 0: row r is at index r - 1."""

    @property
    def kind(self) -> str: ...

    @property
    def dim(self) -> int:
        """Dimension of user and item vectors; 0 for a kind without vectors."""
        ...

    @property
    def capabilities(self) -> Capabilities: ...

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        """Learns from dataset.sequences, looking at dataset.validation only to stop.

        Raises TrainingFailed, and NotEnoughData when there is nothing that this kind can learn from.
        """
        ...

    def score(self, histories: Sequence[History]) -> Floats:
        """Scores of all items, (len(histories), num_items); larger is better. No history may be empty."""
        ...

    def encode_users(self, histories: Sequence[History]) -> Floats:
        """(len(histories), dim); a score is the dot product of a user and an item vector. No history may be empty."""
        ...

    def item_vectors(self) -> Floats:
        """(num_items, dim)."""
        ...

    def serving_tables(self) -> Mapping[str, Table]:
        """What serving needs to score as this kind does, besides popularity, as `domain.bundles` describes it."""
        ...

    def encoder_onnx(self) -> bytes | None:
        """What gives the user vectors in serving, as `domain.bundles` describes it; None for a kind without any."""
        ...

    def save(self, folder: Path) -> None:
        """Writes the fitted state as data, safetensors and JSON, so that `load` scores the same to the last bit."""
        ...

    def load(self, folder: Path) -> None:
        """Becomes what was saved there by a model of the same kind; raises BundleBroken when that cannot be read."""
        ...
