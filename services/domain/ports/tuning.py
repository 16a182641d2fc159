"""Tuning: the studies, and the trials that parallel workers share."""

from collections.abc import Sequence
from typing import Protocol

from services.domain.tuning import Study, Trial


class TuningTrials(Protocol):
    """Studies and their trials. Methods block; they raise CatalogDown."""

    def study(self, name: str) -> Study | None: ...

    def open(self, study: Study) -> Study:
        """Begins a study unless there is one of its name; returns the one that is there now.

        The number of studies is bounded: with a new one the oldest may go, and its trials with it.
        """
        ...

    def all(self, study: str) -> Sequence[Trial]:
        """By number. What still ran after its limit is marked as lost first: its worker died."""
        ...

    def begin(self, trial: Trial) -> bool:
        """Stores a running trial; False, and nothing stored, when another worker has taken its number."""
        ...

    def finish(self, trial: Trial) -> bool:
        """Stores state, figures and detail of a trial that runs; its end is now. False, and nothing stored, when it no
        longer ran, because it took longer than its limit.
        """
        ...
