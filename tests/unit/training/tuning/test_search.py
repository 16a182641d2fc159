"""The search over its ports, with a model of a known optimum: what it finds, how it ends, goes on and shares."""

import threading
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import timedelta
from typing import Any

import pytest

from services.domain.errors import TrainingFailed
from services.domain.tuning import Study, TrialState, TunedSettings
from services.training.model import EpochReport
from services.training.tuning.search import OnEpoch, Search
from services.training.tuning.space import Between, OneOf, Space
from tests.fakes.clock import START, FakeClock
from tests.fakes.tuning_trials import FakeTuningTrials

STUDY = Study("hill", "sequence", 5, 0, 1, 2, {}, START)
SPACE: Space = {"rate": Between(1e-4, 1.0, log=True), "dim": OneOf((8, 16, 32, 64)), "drop": Between(0.0, 0.8)}
PRESENT: TunedSettings = {"rate": 0.9, "dim": 8, "drop": 0.7}
AFTER_ALL = START + timedelta(days=1)


def hill(settings: TunedSettings, on_epoch: OnEpoch) -> float:
    """Best at rate 0.01 or so, dim 64, drop 0.2."""
    rate, dim, drop = (float(settings[name] or 0) for name in ("rate", "dim", "drop"))
    return 1 / (1 + abs(drop - 0.2) + abs(rate - 0.01) + (64 - dim) / 64)


class Worker:
    """A search on fakes, and what it said."""

    def __init__(self, trials: FakeTuningTrials, clock: FakeClock, name: str = "host:1", **changes: Any) -> None:
        self.said: list[Mapping[str, Any]] = []
        told: dict[str, Any] = {"ndcg_of": hill, "report": self.said.append, "worker": name, **changes}
        self.search = Search(
            trials=trials, study=STUDY, space=SPACE, present=PRESENT, clock=clock, limit=timedelta(minutes=10), **told
        )

    def heard(self, event: str) -> list[Mapping[str, Any]]:
        return [line for line in self.said if line["event"] == event]


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def trials(clock: FakeClock) -> FakeTuningTrials:
    trials = FakeTuningTrials(clock)
    trials.open(STUDY)
    return trials


def of(trials: FakeTuningTrials) -> Sequence[tuple[int, TunedSettings]]:
    return [(trial.number, trial.settings) for trial in trials.all("hill")]


def test_it_finds_better_settings_than_the_present_ones(trials: FakeTuningTrials, clock: FakeClock) -> None:
    standing = Worker(trials, clock).search.run(15, AFTER_ALL)
    first, *others = trials.all("hill")
    assert (first.number, first.settings, len(others)) == (0, PRESENT, 14)
    assert standing["present"]["ndcg_at_10"] == first.ndcg_at_10
    assert standing["best"]["ndcg_at_10"] > 1.5 * (first.ndcg_at_10 or 1.0)
    assert standing["best"]["number"] > 0


def test_the_same_seed_searches_the_same(clock: FakeClock) -> None:
    found = []
    for seed in (5, 5, 6):
        trials = FakeTuningTrials(clock)
        trials.open(STUDY)
        worker = Worker(trials, clock)
        replace(worker.search, study=replace(STUDY, seed=seed)).run(9, AFTER_ALL)
        found.append(of(trials))
    assert found[0] == found[1] != found[2]


def test_a_search_that_is_started_again_goes_on(trials: FakeTuningTrials, clock: FakeClock) -> None:
    """And does what one search in one go does."""
    Worker(trials, clock).search.run(4, AFTER_ALL)
    later = Worker(trials, clock, "host:2")
    later.search.run(9, AFTER_ALL)
    assert [line["number"] for line in later.heard("begun")] == [4, 5, 6, 7, 8]
    whole = FakeTuningTrials(clock)
    whole.open(STUDY)
    Worker(whole, clock).search.run(9, AFTER_ALL)
    assert of(trials) == of(whole)
    assert Worker(trials, clock).search.run(9, AFTER_ALL)["num_done"] == 9, "and there is nothing left to do"


def test_the_budget_ends_it(trials: FakeTuningTrials, clock: FakeClock) -> None:
    def slow(settings: TunedSettings, on_epoch: OnEpoch) -> float:
        clock.advance(60)
        return 0.1

    Worker(trials, clock, ndcg_of=slow).search.run(100, START + timedelta(seconds=150))
    assert [trial.state for trial in trials.all("hill")] == [TrialState.COMPLETE] * 3


def epochs_of(ndcgs: Sequence[float], on_epoch: OnEpoch, clock: FakeClock) -> float:
    for epoch, ndcg in enumerate(ndcgs, start=1):
        clock.advance(10)
        on_epoch(EpochReport(epoch, len(ndcgs), 1.0, ndcg, 1.0, 10.0 * epoch))
    return max(ndcgs)


def test_a_trial_under_way_ends_with_its_epoch_when_the_budget_is_spent(
    trials: FakeTuningTrials, clock: FakeClock
) -> None:
    worker = Worker(trials, clock, ndcg_of=lambda _, on_epoch: epochs_of([0.1] * 10, on_epoch, clock))
    worker.search.run(5, START + timedelta(seconds=25))
    (cut,) = trials.all("hill")
    assert (cut.state, cut.ndcg_at_10, len(cut.epoch_ndcgs)) == (TrialState.PRUNED, None, 3)
    assert "time" in cut.detail


def test_a_hopeless_trial_is_cut_off_and_the_present_settings_never_are(
    trials: FakeTuningTrials, clock: FakeClock
) -> None:
    """All grow alike until the fifth, which is far below the others from the start."""
    levels = iter([0.01, 0.5, 0.5, 0.5, 0.5, 0.02])

    def fit(settings: TunedSettings, on_epoch: OnEpoch) -> float:
        level = next(levels)
        return epochs_of([level * (1 + epoch / 10) for epoch in range(6)], on_epoch, clock)

    Worker(trials, clock, ndcg_of=fit).search.run(6, AFTER_ALL)
    first, *_, last = trials.all("hill")
    assert (first.state, last.state) == (TrialState.COMPLETE, TrialState.PRUNED)
    assert len(last.epoch_ndcgs) < 6


def test_a_trial_that_cannot_be_trained_does_not_end_the_search(trials: FakeTuningTrials, clock: FakeClock) -> None:
    def fit(settings: TunedSettings, on_epoch: OnEpoch) -> float:
        if len(trials.all("hill")) == 3:
            raise TrainingFailed("The loss became nan.")
        if len(trials.all("hill")) == 4:
            raise RuntimeError("out of memory")
        return hill(settings, on_epoch)

    Worker(trials, clock, ndcg_of=fit).search.run(12, AFTER_ALL)
    states = [trial.state for trial in trials.all("hill")]
    assert states == [TrialState.COMPLETE] * 2 + [TrialState.FAILED] * 2 + [TrialState.COMPLETE] * 8
    assert trials.all("hill")[2].detail == "The loss became nan."


def test_a_killed_trial_is_lost_and_its_settings_are_tried_again(trials: FakeTuningTrials, clock: FakeClock) -> None:
    """Told to stop within the first trial: the next worker begins with the present settings, and none is missing."""

    def stopped(settings: TunedSettings, on_epoch: OnEpoch) -> float:
        raise SystemExit(143)

    with pytest.raises(SystemExit):
        Worker(trials, clock, ndcg_of=stopped).search.run(3, AFTER_ALL)
    standing = Worker(trials, clock).search.run(3, AFTER_ALL)
    lost, again, *_ = trials.all("hill")
    assert (lost.state, lost.settings, again.settings) == (TrialState.LOST, PRESENT, PRESENT)
    assert (standing["num_done"], standing["present"]["number"]) == (3, 1)


def test_what_a_dead_worker_left_is_lost_after_its_limit(trials: FakeTuningTrials, clock: FakeClock) -> None:
    """Until then it counts as under way; a late result of it is not taken."""

    def hanging(settings: TunedSettings, on_epoch: OnEpoch) -> float:
        clock.advance(601)
        Worker(trials, clock, "host:2").search.run(2, AFTER_ALL)
        return 1.0

    worker = Worker(trials, clock, ndcg_of=hanging)
    worker.search.run(1, AFTER_ALL)
    states = [trial.state for trial in trials.all("hill")]
    assert states == [TrialState.LOST, TrialState.COMPLETE, TrialState.COMPLETE]
    assert worker.heard("trial")[0]["state"] == "lost"


def test_two_workers_never_share_a_trial(trials: FakeTuningTrials, clock: FakeClock) -> None:
    together = threading.Barrier(2)

    def fit(settings: TunedSettings, on_epoch: OnEpoch) -> float:
        together.wait(30)  # both are within a trial at the same time, each time
        return hill(settings, on_epoch)

    workers = [Worker(trials, clock, f"host:{number}", ndcg_of=fit) for number in range(2)]
    threads = [threading.Thread(target=worker.search.run, args=(12, AFTER_ALL)) for worker in workers]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    begun = [[line["number"] for line in worker.heard("begun")] for worker in workers]
    assert sorted(begun[0] + begun[1]) == list(range(12))
    assert [trial.state for trial in trials.all("hill")] == [TrialState.COMPLETE] * 12
    tried = [tuple(trial.settings.values()) for trial in trials.all("hill")]
    assert len(set(tried)) > 10, "each knows what the other is at"


def test_a_change_of_the_present_settings_is_tried_in_the_same_study(
    trials: FakeTuningTrials, clock: FakeClock
) -> None:
    """After the best were pasted, the gain is over those."""
    best = Worker(trials, clock).search.run(5, AFTER_ALL)["best"]
    pasted = Worker(trials, clock)
    standing = replace(pasted.search, present=best["settings"]).run(6, AFTER_ALL)
    assert standing["present"]["number"] == best["number"]
    other = {**PRESENT, "drop": 0.75}
    assert replace(pasted.search, present=other).run(7, AFTER_ALL)["present"]["settings"] == other
