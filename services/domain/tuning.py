"""Tuning: a study looks for better settings of a model kind, trial by trial, judged on the validation part alone."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from typing import Any, TypeAlias

TunedSettings: TypeAlias = Mapping[str, int | float | None]
"""Values by the names of a kind's settings; None is what unset means: "off", or "by the data"."""


class TrialState(StrEnum):
    RUNNING = "running"
    COMPLETE = "complete"
    """Fitted and measured."""
    PRUNED = "pruned"
    """Ended between two epochs: others were better by then, or the budget was spent."""
    FAILED = "failed"
    """A model cannot be trained with these settings."""
    LOST = "lost"
    """Its worker was stopped or died, which says nothing of the settings. It does not count as a trial done."""


@dataclass(frozen=True, slots=True)
class Study:
    """What all trials of a study have in common, fixed by whoever began it."""

    name: str
    kind: str
    seed: int
    data_version: int
    """Of the log."""
    fit_end_us: int
    cut_us: int
    """Where the holdout begins: no trial sees what happened from then on."""
    fixed: Mapping[str, Any]
    """The settings that count and are not searched, as JSON has them."""
    create_time: datetime


@dataclass(frozen=True, slots=True)
class Trial:
    """One try. Numbers count from 0 within a study, and none is given twice."""

    study: str
    number: int
    settings: TunedSettings
    worker: str
    start_time: datetime
    limit_time: datetime
    """One that still runs then is lost."""
    state: TrialState = TrialState.RUNNING
    ndcg_at_10: float | None = None
    """On validation; None unless complete."""
    epoch_ndcgs: tuple[float, ...] = ()
    """The same after each epoch; empty for a kind without epochs."""
    end_time: datetime | None = None
    detail: str = ""
    """One sentence for people on why it was not completed."""

    @property
    def seconds(self) -> float | None:
        """None while it runs."""
        return None if self.end_time is None else (self.end_time - self.start_time).total_seconds()


def best_of(trials: Iterable[Trial]) -> Trial | None:
    """The first of the best; None before any was completed."""
    complete = [trial for trial in trials if trial.ndcg_at_10 is not None]
    return max(complete, key=lambda trial: trial.ndcg_at_10 or 0.0, default=None)


def of_settings(trials: Iterable[Trial], settings: TunedSettings) -> Trial | None:
    """The newest trial with these settings that was not lost."""
    found = [trial for trial in trials if trial.settings == settings and trial.state is not TrialState.LOST]
    return found[-1] if found else None
