"""What every TuningTrials promises: a study is fixed by who began it, and no trial is done by two workers."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.adapters.sql import tuning_trials
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.tuning_trials import SqlTuningTrials
from services.domain.ports import TuningTrials
from services.domain.tuning import Study, Trial, TrialState
from tests.fakes.clock import START, FakeClock
from tests.fakes.tuning_trials import FakeTuningTrials

STUDY = Study("shop", "ease", 7, 12, 1_700_000_000_000_000, 1_700_000_100_000_000, {"max_history": 50}, START)
FIRST = Trial("shop", 0, {"l2": 250.0, "half_life_days": None}, "host:1", START, START + timedelta(seconds=60))


def _sql(url: str, clock: FakeClock) -> SqlTuningTrials:
    upgrade(url)
    return SqlTuningTrials(connect(url), clock)


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def trials(request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock) -> TuningTrials:
    makers: dict[str, Callable[[], TuningTrials]] = {
        "fake": lambda: FakeTuningTrials(clock),
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'catalog.db'}", clock),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url"), clock),
    }
    made = makers[request.param]()
    made.open(STUDY)
    return made


def test_a_study_stays_as_it_was_begun(trials: TuningTrials) -> None:
    assert trials.study("shop") == STUDY
    assert trials.open(replace(STUDY, data_version=13)) == STUDY
    assert trials.study("another") is None


def test_a_trial_that_was_begun_runs(trials: TuningTrials) -> None:
    assert trials.begin(FIRST)
    assert trials.all("shop") == [FIRST]
    assert trials.all("another") == []


def test_a_number_is_given_once(trials: TuningTrials) -> None:
    assert trials.begin(FIRST)
    assert not trials.begin(replace(FIRST, worker="host:2", settings={"l2": 1.0}))
    assert trials.begin(replace(FIRST, number=1))
    assert trials.all("shop") == [FIRST, replace(FIRST, number=1)]


def test_a_trial_ends_once_and_says_how_and_when(trials: TuningTrials, clock: FakeClock) -> None:
    trials.begin(FIRST)
    clock.advance(30)
    ended = replace(FIRST, state=TrialState.COMPLETE, ndcg_at_10=0.25, epoch_ndcgs=(0.125, 0.25))
    assert trials.finish(ended)
    assert not trials.finish(replace(FIRST, state=TrialState.FAILED))
    (stored,) = trials.all("shop")
    assert stored == replace(ended, end_time=clock.now())
    assert stored.seconds == 30


def test_what_failed_says_why(trials: TuningTrials) -> None:
    trials.begin(FIRST)
    assert trials.finish(replace(FIRST, state=TrialState.FAILED, detail="The loss became nan."))
    (stored,) = trials.all("shop")
    assert (stored.state, stored.ndcg_at_10, stored.detail) == (TrialState.FAILED, None, "The loss became nan.")


def test_the_trial_of_a_dead_worker_is_lost_after_its_limit_and_cannot_come_back(
    trials: TuningTrials, clock: FakeClock
) -> None:
    """Nor does its number: what another worker does instead is a trial of its own."""
    trials.begin(FIRST)
    clock.advance(60)
    assert trials.all("shop")[0].state is TrialState.RUNNING
    clock.advance(1)
    (lost,) = trials.all("shop")
    assert (lost.state, lost.end_time) == (TrialState.LOST, clock.now())
    assert lost.detail
    assert not trials.finish(replace(FIRST, state=TrialState.COMPLETE, ndcg_at_10=0.5))
    assert not trials.begin(FIRST)


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_of_workers_that_want_a_number_at_once_exactly_one_gets_it(
    request: pytest.FixtureRequest, tmp_path: Path, clock: FakeClock, database: str
) -> None:
    url = f"sqlite:///{tmp_path / 'race.db'}" if database == "sqlite" else request.getfixturevalue("postgres_url")
    workers = [_sql(url, clock) for _ in range(4)]
    start, begun = threading.Barrier(len(workers)), list[bool]()

    def race(worker: int) -> None:
        start.wait()
        workers[worker].open(STUDY)
        begun.append(workers[worker].begin(replace(FIRST, worker=f"host:{worker}")))

    threads = [threading.Thread(target=race, args=(worker,)) for worker in range(len(workers))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(begun) == [False, False, False, True]


def test_old_studies_are_forgotten_with_their_trials(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The tables are bounded."""
    monkeypatch.setattr(tuning_trials, "STUDIES_KEPT", 2)
    trials = _sql(f"sqlite:///{tmp_path / 'catalog.db'}", clock)
    for day in range(3):
        trials.open(replace(STUDY, name=f"day {day}", create_time=START + timedelta(days=day)))
        trials.begin(replace(FIRST, study=f"day {day}"))
    assert [trials.study(f"day {day}") is not None for day in range(3)] == [False, True, True]
    assert [len(trials.all(f"day {day}")) for day in range(3)] == [0, 1, 1]
