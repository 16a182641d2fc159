"""Training: how its runs go, and what it reads texts with."""

from collections.abc import Sequence
from typing import Protocol

import numpy as np
import numpy.typing as npt

from services.domain.training_runs import TrainingRun


class TrainingRuns(Protocol):
    """The training runs of all processes. Methods block; they raise CatalogDown."""

    def record(self, run: TrainingRun) -> None:
        """Stores how a run is now, in place of what was stored of it; may be repeated.

        The number of runs is bounded: with a new one the oldest may go.
        """
        ...

    def newest(self, limit: int) -> Sequence[TrainingRun]:
        """Those that began last, first."""
        ...


class TextEncoder(Protocol):
    """Makes vectors of texts, near where they mean alike."""

    @property
    def name(self) -> str:
        """Of another name, other vectors."""
        ...

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        """(len(texts), dim), each of length 1; blocks, for milliseconds each."""
        ...
