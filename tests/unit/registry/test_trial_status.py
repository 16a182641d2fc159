"""What is said of trials: those that go on first, figures of all workers, and why workers lack a model."""

from dataclasses import replace
from datetime import timedelta

from services.domain.fleet import SILENT_AFTER, ServingWorker
from services.domain.ids import ModelVersion
from services.domain.trials import Likeness, TrialFigures, TrialKind, TrialReport
from services.registry.trial_status import newest_trials
from tests.fakes.clock import START
from tests.fakes.fleet import FakeFleet
from tests.fakes.model_registry import FakeModelRegistry, model
from tests.fakes.trials import FakeTrials

NOW = START + timedelta(seconds=1)
COUNTED = TrialFigures(likeness=Likeness(1, 0.5, 0))


def change(trials: FakeTrials, kind: TrialKind, share: float, first: int | None = None) -> None:
    number = len(trials.changes(100))
    trials.change(kind, ModelVersion("v2"), share=share, actor="ada", reason="", expected_number=number, first=first)


def stage() -> tuple[FakeTrials, FakeFleet]:
    registry, fleet = FakeModelRegistry(), FakeFleet()
    registry.register(model("v2"))
    for worker_id, age in (("a", timedelta(0)), ("b", timedelta(0)), ("gone", 2 * SILENT_AFTER)):
        fleet.report(ServingWorker(worker_id, "host/1", 1, START - age))
    return FakeTrials(registry), fleet


def test_those_that_go_on_come_first_then_the_newest_that_are_over() -> None:
    trials, fleet = stage()
    change(trials, TrialKind.SHADOW, 1.0)
    for share, first in ((0.1, None), (0.5, 2), (0.0, 2), (0.1, None), (0.0, 5)):
        change(trials, TrialKind.CANARY, share, first)
    found = newest_trials(trials, fleet, NOW, 10)
    assert [(each.trial.first, each.trial.share) for each in found] == [(1, 1.0), (5, 0.0), (2, 0.0)]
    assert [each.trial.first for each in newest_trials(trials, fleet, NOW, 1)] == [1]
    assert found[0].begin_time == START
    assert newest_trials(stage()[0], fleet, NOW, 10) == []


def test_figures_are_of_all_workers_and_who_holds_it_of_those_alive() -> None:
    trials, fleet = stage()
    change(trials, TrialKind.SHADOW, 1.0)
    trials.report(TrialReport(1, "a", START, is_held=True, figures=COUNTED))
    trials.report(TrialReport(1, "b", START, is_held=False, problem="BundleBroken: cut"))
    trials.report(TrialReport(1, "gone", START, is_held=True, figures=COUNTED))
    (found,) = newest_trials(trials, fleet, NOW, 10)
    assert (found.num_workers, found.num_holding, found.problems) == (2, 1, ("BundleBroken: cut",))
    assert found.figures.likeness == Likeness(2, 1.0, 0)


def test_of_one_that_is_over_nobody_is_said_to_hold_it() -> None:
    trials, fleet = stage()
    change(trials, TrialKind.SHADOW, 1.0)
    change(trials, TrialKind.SHADOW, 0.0, first=1)
    report = TrialReport(1, "a", START, is_held=True, figures=COUNTED)
    trials.report(report)
    trials.report(replace(report, worker_id="b", problem="late"))
    (found,) = newest_trials(trials, fleet, NOW, 10)
    assert (found.num_holding, found.problems, found.figures.likeness.num_compared) == (0, (), 2)
