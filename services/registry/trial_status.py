"""What came of trials: which there were of late, how many workers hold each, and the figures of all workers summed."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from services.domain.ports import Fleet, Trials
from services.domain.trials import ModelTrial, TrialFigures

CHANGES_READ: Final = 200  # larger: more rows read for a look; smaller: a trial of many shares hides those before it


@dataclass(frozen=True, slots=True)
class TrialStatus:
    """One trial, by its newest change."""

    trial: ModelTrial
    begin_time: datetime | None
    """None when that change is too long ago to be read."""
    figures: TrialFigures
    num_workers: int
    """That are alive now."""
    num_holding: int
    """Of those, how many have its model; the live one answers all calls of the others."""
    problems: tuple[str, ...] = ()
    """Why the others have not, each once."""


def newest_trials(trials: Trials, fleet: Fleet, now: datetime, limit: int) -> list[TrialStatus]:
    """Those that go on first, then the newest that are over; `limit` in all. Blocks; raises CatalogDown."""
    alive = {each.worker_id for each in fleet.workers() if not each.is_silent(now)}
    changes = trials.changes(CHANGES_READ)
    begun = {each.first: each.change_time for each in changes if each.number == each.first}
    newest = dict[int, ModelTrial]()
    for each in changes:
        newest.setdefault(each.first, each)
    chosen = sorted(newest.values(), key=lambda each: (each.is_over, -each.number))[:limit]
    return [_status(trials, each, begun.get(each.first), alive) for each in chosen]


def _status(trials: Trials, trial: ModelTrial, begin_time: datetime | None, alive: set[str]) -> TrialStatus:
    reports = trials.reports(trial.first)
    here = [each for each in reports if each.worker_id in alive] if not trial.is_over else []
    return TrialStatus(
        trial,
        begin_time,
        sum((each.figures for each in reports), TrialFigures()),
        num_workers=len(alive),
        num_holding=sum(each.is_held for each in here),
        problems=tuple(sorted({each.problem for each in here if each.problem})),
    )
