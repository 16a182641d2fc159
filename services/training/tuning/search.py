"""A worker's search: claims a trial, carries it out, stores how it ended, until enough are done or time is up."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from datetime import datetime, timedelta
from typing import Any, TypeAlias

import structlog

from services.domain.errors import NightjarError
from services.domain.ports import Clock, TuningTrials
from services.domain.tuning import Study, Trial, TrialState, TunedSettings, best_of, of_settings
from services.training.model import EpochReport
from services.training.tuning.proposing import Proposal, propose
from services.training.tuning.space import Space

log = structlog.get_logger(__name__)

OnEpoch: TypeAlias = Callable[[EpochReport], None]
Report: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Is told of every trial and epoch, as the JSON lines of `python -m services.training.tuning` show them."""


class _CutOff(Exception):
    """Leaves the fitting of a trial between two epochs; its text says why."""


@dataclass(frozen=True)
class Search:
    trials: TuningTrials
    study: Study
    space: Space
    present: TunedSettings
    """What is tried first, and what the gain is over."""
    ndcg_of: Callable[[TunedSettings, OnEpoch], float]
    """Fits and measures on validation, as `Trying` does."""
    clock: Clock
    limit: timedelta
    """How long a trial may take; longer, and its worker is taken for dead."""
    worker: str
    report: Report

    def run(self, num_trials: int, end_time: datetime) -> Mapping[str, Any]:
        """Searches until the study has so many trials, those under way and of earlier runs included, or until end_time.

        A trial under way then ends with its epoch. Returns where the study stands. Raises CatalogDown.
        """
        self.report({"event": "study", **self._standing(), "data_version": self.study.data_version})
        while (begun := self._begin(num_trials, end_time)) is not None:
            trial = self._carry_out(*begun, end_time)
            self.report({"event": "trial", **_figures(trial), **self._standing()})
        return self._standing()

    def _begin(self, num_trials: int, end_time: datetime) -> tuple[Trial, Proposal] | None:
        """A trial that no other worker does, and None when there is none to do."""
        while (now := self.clock.now()) < end_time:
            stored = self.trials.all(self.study.name)
            if len(_counted(stored)) >= num_trials:
                return None
            proposal = propose(self.space, self.present, stored, self.study.seed)
            trial = Trial(self.study.name, len(stored), proposal.settings, self.worker, now, now + self.limit)
            if self.trials.begin(trial):  # else another worker has this number: what it does is to be known first
                self.report({"event": "begun", "number": trial.number, "settings": dict(trial.settings)})
                return trial, proposal
        return None

    def _carry_out(self, trial: Trial, proposal: Proposal, end_time: datetime) -> Trial:
        ndcgs: list[float] = []

        def on_epoch(report: EpochReport) -> None:
            ndcgs.append(report.valid_ndcg_at_10)
            self.report({"event": "epoch", "number": trial.number, **asdict(report)})
            if proposal.hopeless(report.epoch, report.valid_ndcg_at_10):
                raise _CutOff("Others were better after as many epochs.")
            if self.clock.now() >= end_time and report.epoch < report.max_epochs:
                raise _CutOff("The time for the search was up.")

        def ended(state: TrialState, ndcg: float | None, detail: str = "") -> Trial:
            return self._stored(replace(trial, state=state, ndcg_at_10=ndcg, epoch_ndcgs=tuple(ndcgs), detail=detail))

        try:
            ndcg = self.ndcg_of(trial.settings, on_epoch)
        except _CutOff as why:
            return ended(TrialState.PRUNED, None, str(why))
        except (NightjarError, MemoryError, RuntimeError) as error:  # the last: what torch raises when memory is short
            log.warning("trial_failed", number=trial.number, error=str(error))
            return ended(TrialState.FAILED, None, str(error))
        except BaseException:
            ended(TrialState.LOST, None, "Its worker was stopped.")
            raise
        return ended(TrialState.COMPLETE, ndcg)

    def _stored(self, trial: Trial) -> Trial:
        if self.trials.finish(trial):
            log.info("trial_ended", number=trial.number, state=trial.state, ndcg_at_10=trial.ndcg_at_10)
            return trial
        log.warning("trial_took_too_long", number=trial.number, limit_s=self.limit.total_seconds())
        return replace(trial, state=TrialState.LOST, ndcg_at_10=None)

    def _standing(self) -> dict[str, Any]:
        """How far the study is: what all its workers have found."""
        stored = self.trials.all(self.study.name)
        best, present = best_of(stored), of_settings(stored, self.present)
        return {
            "num_done": sum(trial.state is not TrialState.RUNNING for trial in _counted(stored)),
            "best": None if best is None else _figures(best),
            "present": None if present is None else _figures(present),
        }


def _counted(trials: Sequence[Trial]) -> list[Trial]:
    return [trial for trial in trials if trial.state is not TrialState.LOST]


def _figures(trial: Trial) -> dict[str, Any]:
    return {
        "number": trial.number,
        "settings": dict(trial.settings),
        "state": trial.state.value,
        "ndcg_at_10": trial.ndcg_at_10,
        "detail": trial.detail,
    }
