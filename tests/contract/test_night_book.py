"""What every NightBook promises: a step's story in one row, written by the run's holder alone."""

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from services.adapters.sql import run_book
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.night_book import SqlNightBook
from services.adapters.sql.run_book import SqlRunBook
from services.domain.nights import MAX_LOG_CHARS, NIGHT, NightBook, StepState
from services.domain.runs import Run, RunBook, RunState
from tests.fakes.clock import START, FakeClock
from tests.fakes.night_book import FakeNightBook
from tests.fakes.run_book import FakeRunBook


@dataclass
class Stage:
    runs: RunBook
    nights: NightBook
    clock: FakeClock

    def night(self) -> Run:
        run = self.runs.begin(NIGHT, "schedule")
        assert run is not None
        return run


def _sql(url: str) -> Stage:
    upgrade(url)
    engine, clock = connect(url), FakeClock()
    return Stage(SqlRunBook(engine, clock), SqlNightBook(engine, clock), clock)


def _fake() -> Stage:
    clock = FakeClock()
    runs = FakeRunBook(clock)
    return Stage(runs, FakeNightBook(clock, runs), clock)


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def stage(request: pytest.FixtureRequest, tmp_path: Path) -> Stage:
    makers: dict[str, Callable[[], Stage]] = {
        "fake": _fake,
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'catalog.db'}"),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url")),
    }
    return makers[request.param]()


def test_a_step_tells_its_story(stage: Stage) -> None:
    run = stage.night()
    begun = stage.nights.begin(run, "pin", {"after": ["compact"]})
    assert begun is not None
    assert (begun.name, begun.state, begun.attempts, begun.outputs) == ("pin", StepState.RUNNING, 1, None)
    stage.clock.advance(3)
    assert stage.nights.end(
        run, "pin", StepState.DONE, outputs={"data_version": 7}, detail="Version 7.", log="looked\nfound"
    )
    (row,) = stage.nights.steps(run.run_id)
    assert (row.state, row.attempts, row.start_time, row.end_time) == (StepState.DONE, 1, START, stage.clock.now())
    assert (row.inputs, row.outputs) == ({"after": ["compact"]}, {"data_version": 7})
    assert (row.detail, row.log) == ("Version 7.", "looked\nfound")


def test_steps_come_in_the_order_in_which_they_first_began(stage: Stage) -> None:
    run = stage.night()
    for name in ("pin", "check", "train:b", "train:a", "check"):
        stage.nights.begin(run, name, {})
    assert [row.name for row in stage.nights.steps(run.run_id)] == ["pin", "check", "train:b", "train:a"]


def test_another_attempt_counts_and_clears_what_the_last_one_left(stage: Stage) -> None:
    run = stage.night()
    stage.nights.begin(run, "check", {"try": 1})
    stage.nights.end(run, "check", StepState.FAILED, outputs={"a": 1}, detail="no disk", log="...")
    again = stage.nights.begin(run, "check", {"try": 2})
    assert again is not None
    assert (again.attempts, again.state, again.inputs) == (2, StepState.RUNNING, {"try": 2})
    assert (again.outputs, again.detail, again.log, again.end_time) == (None, "", "", None)


def test_a_crash_counts_as_an_attempt_and_a_stop_does_not(stage: Stage) -> None:
    run = stage.night()
    stage.nights.begin(run, "evaluate", {})
    stage.nights.begin(run, "evaluate", {})  # whoever began it first died
    assert stage.nights.steps(run.run_id)[0].attempts == 2
    stage.nights.end(run, "evaluate", StepState.INTERRUPTED)
    assert stage.nights.steps(run.run_id)[0].attempts == 1


def test_who_lost_the_night_writes_nothing(stage: Stage) -> None:
    run = stage.night()
    stage.nights.begin(run, "pin", {})
    stage.clock.advance(61)
    abandoned = stage.runs.abandoned(NIGHT)
    assert abandoned is not None
    taken = stage.runs.take_over(abandoned)
    assert taken is not None
    assert not stage.nights.end(run, "pin", StepState.DONE, outputs={"data_version": 1})
    assert stage.nights.begin(run, "check", {}) is None
    assert stage.nights.end(taken, "pin", StepState.DONE, outputs={"data_version": 2})
    assert [row.outputs for row in stage.nights.steps(run.run_id)] == [{"data_version": 2}]


def test_writing_keeps_the_night_alive(stage: Stage) -> None:
    run = stage.night()
    for name in ("pin", "check", "evaluate"):
        stage.clock.advance(50)
        assert stage.nights.begin(run, name, {}) is not None
        assert stage.runs.abandoned(NIGHT) is None


def test_an_operator_accepts_a_refused_step_of_a_night_that_nobody_runs(stage: Stage) -> None:
    run = stage.night()
    stage.nights.begin(run, "check", {})
    stage.nights.end(run, "check", StepState.REFUSED, outputs={"passed": False}, detail="half the events")
    assert not stage.nights.accept(run.run_id, "check", "a holiday")
    stage.runs.finish(run, RunState.REFUSED)
    assert stage.nights.accept(run.run_id, "check", "a holiday")
    (row,) = stage.nights.steps(run.run_id)
    assert (row.state, row.detail, row.outputs) == (StepState.ACCEPTED, "a holiday", {"passed": False})
    assert not stage.nights.accept(run.run_id, "check", "again")
    assert not stage.nights.accept(run.run_id, "nothing", "a holiday")


def test_forgiven_steps_are_tried_anew(stage: Stage) -> None:
    run = stage.night()
    for name, state in (("pin", StepState.DONE), ("train:a", StepState.FAILED)):
        stage.nights.begin(run, name, {})
        stage.nights.end(run, name, state)
    stage.nights.forgive(run.run_id)
    assert [row.attempts for row in stage.nights.steps(run.run_id)] == [1, 1]  # not while it runs
    stage.runs.finish(run, RunState.FAILED)
    stage.nights.forgive(run.run_id)
    assert [row.attempts for row in stage.nights.steps(run.run_id)] == [1, 0]


def test_a_step_keeps_the_end_of_a_long_log_and_any_character(stage: Stage) -> None:
    run = stage.night()
    stage.nights.begin(run, "evaluate", {})
    stage.nights.end(run, "evaluate", StepState.FAILED, detail="a NUL\0", log="x" * MAX_LOG_CHARS + "the end")
    (row,) = stage.nights.steps(run.run_id)
    assert len(row.log) == MAX_LOG_CHARS
    assert row.log.endswith("the end")
    assert row.detail.startswith("a NUL")


def test_the_steps_of_old_nights_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is bounded."""
    monkeypatch.setattr(run_book, "RUNS_KEPT", 3)
    stage = _sql(f"sqlite:///{tmp_path / 'catalog.db'}")
    for _ in range(5):
        run = stage.night()
        stage.nights.begin(run, "pin", {})
        stage.runs.finish(run, RunState.FAILED)
    assert [len(stage.nights.steps(run_id)) for run_id in range(1, 6)] == [0, 0, 1, 1, 1]
