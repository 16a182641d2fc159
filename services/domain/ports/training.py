"""Training: how its runs go."""

from collections.abc import Sequence
from typing import Protocol

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
