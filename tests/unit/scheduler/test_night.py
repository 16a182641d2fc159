"""What a night promises: whatever dies, another scheduler goes on where it was, and never are there two."""

from collections.abc import Callable
from datetime import timedelta
from itertools import count

import pytest

from scheduler.chain import StepFailed, StepRefused, Work
from services.domain.nights import NIGHT, StepState
from services.domain.runs import Run, RunState
from tests.unit.scheduler.stage import FakeStep, Killed, Stage

STEPS = ("compact", "pin", "check", "train:a", "evaluate", "gate", "swap")


def _steps() -> list[FakeStep]:
    return [FakeStep(name) for name in STEPS]


def _die_at(number: int) -> Callable[[], None]:
    """A function that dies at its call of that number, the first being 0."""
    calls = count()

    def maybe() -> None:
        if next(calls) == number:
            raise Killed

    return maybe


@pytest.mark.parametrize("moment", ["before_write", "after_write"])
@pytest.mark.parametrize("number", range(2 * len(STEPS) + 3))
def test_a_scheduler_that_dies_at_any_write_costs_at_most_the_step_it_was_at(moment: str, number: int) -> None:
    """Each step begins and ends with a write, the report too, and the night ends with one."""
    steps = _steps()
    stage = Stage(*steps)
    setattr(stage.database, moment, _die_at(number))
    died = True
    try:
        stage.night().run("schedule")
        died = False
    except Killed:
        stage.clock.advance(61)
    setattr(stage.database, moment, lambda: None)
    if died:
        second = stage.night()
        second.sweep()
        assert stage.last.state is RunState.RUNNING  # it may be a mere outage
        second.sweep()
    assert stage.last.state is RunState.SUCCEEDED
    assert [run.run_id for run in stage.runs.newest(10)] == [1]
    done_twice = [step.name for step in steps if len(step.seen) > 1]
    assert len(done_twice) <= 1
    assert all(row.state is StepState.DONE for row in stage.book.steps(1))
    assert [row.name for row in stage.book.steps(1)] == [*STEPS, "report"]


@pytest.mark.parametrize("victim", STEPS)
def test_a_scheduler_that_dies_within_a_step_is_gone_on_with_at_that_step(victim: str) -> None:
    steps = _steps()
    dying = steps[STEPS.index(victim)]

    def die(_: Work) -> None:
        raise Killed

    dying.do = die
    stage = Stage(*steps)
    with pytest.raises(Killed):
        stage.night().run("schedule")
    dying.do = lambda _: None
    stage.clock.advance(61)
    stage.night().run("schedule")
    assert stage.last.state is RunState.SUCCEEDED
    assert {step.name: len(step.seen) for step in steps} == {name: 1 + (name == victim) for name in STEPS}
    assert stage.row(victim).attempts == 2


def test_a_step_that_kills_its_scheduler_each_time_ends_the_night() -> None:
    def die(_: Work) -> None:
        raise Killed

    stage = Stage(FakeStep("evaluate", die))
    for _ in range(3):
        with pytest.raises(Killed):
            stage.night().run("schedule")
        stage.clock.advance(61)
    run = stage.run()
    assert (run.run_id, run.state, run.detail) == (1, RunState.FAILED, "evaluate: Its process died each time.")


def test_a_night_that_was_refused_before_the_scheduler_died_stays_refused() -> None:
    def refuse(_: Work) -> None:
        raise StepRefused("Half the events are missing.", {})

    check = FakeStep("check", refuse)
    stage = Stage(check)
    stage.database.before_write = _die_at(2)  # the report's first word
    with pytest.raises(Killed):
        stage.night().run("schedule")
    stage.database.before_write = lambda: None
    stage.clock.advance(61)
    assert stage.run().state is RunState.REFUSED
    assert len(check.seen) == 1


def test_two_nights_never_run_at_once() -> None:
    step = FakeStep("pin")
    stage = Stage(step)
    stage.runs.begin(NIGHT, "run-now")
    stage.night().run("schedule")
    stage.night().sweep()
    assert step.seen == []
    assert len(stage.runs.newest(10)) == 1


def test_a_night_asked_for_while_one_runs_here_is_not_begun_even_after_an_outage() -> None:
    def ask_again(_: Work) -> None:
        stage.clock.advance(600)
        night.run("run-now")
        night.sweep()
        night.sweep()

    stage = Stage(FakeStep("train:a", ask_again))
    night = stage.night()
    night.run("schedule")
    assert [run.state for run in stage.runs.newest(10)] == [RunState.SUCCEEDED]


def test_of_two_schedulers_the_one_that_slept_ends_its_step_and_changes_nothing() -> None:
    def sleep(work: Work) -> None:
        stage.clock.advance(3_600)
        train.do = lambda _: {"version": "theirs"}
        stage.night().run("schedule")  # the other one takes over, and is through before this one wakes
        stage.runs.keep_alive(work.run)
        raise StepFailed("ended because it lost the night")

    train = FakeStep("train:a", sleep)
    stage = Stage(train)
    stage.night().run("schedule")
    (run,) = stage.runs.newest(10)
    assert run.state is RunState.SUCCEEDED
    assert stage.row("train:a").outputs == {"version": "theirs"}
    assert stage.row("train:a").attempts == 2


def test_a_scheduler_that_is_asked_to_stop_gives_the_night_back_and_the_next_one_goes_on_at_once() -> None:
    def stop(work: Work) -> None:
        stage.stopping = True
        assert not work.keep_going()
        raise StepFailed("ended because the scheduler stops")

    train = FakeStep("train:a", stop)
    stage = Stage(FakeStep("pin"), train)
    assert stage.run().state is RunState.RUNNING
    assert (stage.row("train:a").state, stage.row("train:a").attempts) == (StepState.INTERRUPTED, 0)
    stage.stopping = False
    train.do = lambda _: None
    stage.night().sweep()
    assert stage.last.state is RunState.SUCCEEDED
    assert stage.row("train:a").attempts == 1


def test_a_scheduler_that_is_asked_to_stop_does_not_wait_for_the_database() -> None:
    def lose_database(_: Work) -> None:
        stage.database.go_away(600)
        stage.stopping = True

    stage = Stage(FakeStep("train:a", lose_database))
    started = stage.clock.now()
    stage.night().run("schedule")
    assert stage.clock.now() - started < timedelta(seconds=10)


def test_a_database_that_stays_away_leaves_the_night_to_whoever_comes_when_it_is_back() -> None:
    def lose_database(_: Work) -> None:
        stage.database.go_away(3_600)

    step = FakeStep("train:a", lose_database)
    stage = Stage(step)
    night = stage.night()
    night.run("schedule")
    step.do = lambda _: None
    stage.clock.advance(3_600)
    night.sweep()
    assert len(step.seen) == 1  # it may be about to speak again
    night.sweep()
    assert stage.last.state is RunState.SUCCEEDED


def test_a_night_left_off_too_long_ago_is_failed_and_a_new_one_begins() -> None:
    stage = Stage(FakeStep("pin"))
    stage.runs.begin(NIGHT, "schedule")
    stage.clock.advance(13 * 3_600)
    stage.run()
    assert [run.state for run in stage.runs.newest(10)] == [RunState.SUCCEEDED, RunState.FAILED]


def test_a_holder_that_speaks_again_after_an_outage_keeps_its_night() -> None:
    step = FakeStep("pin")
    stage = Stage(step)
    run = stage.runs.begin(NIGHT, "schedule")
    assert run is not None
    watcher = stage.night()
    stage.clock.advance(61)
    watcher.sweep()
    stage.runs.keep_alive(run)
    stage.clock.advance(10)
    watcher.sweep()
    stage.clock.advance(61)
    watcher.sweep()
    assert step.seen == []


def test_a_night_that_is_asked_for_while_a_sweep_looks_is_begun() -> None:
    """A sweep looks every few seconds; what it does then is no night."""
    stage = Stage(FakeStep("pin"))
    night, look = stage.night(), stage.runs.abandoned

    def ask_meanwhile(kind: str) -> Run | None:
        stage.runs.abandoned = look  # type: ignore[method-assign]
        night.run("run-now")
        return look(kind)

    stage.runs.abandoned = ask_meanwhile  # type: ignore[method-assign]
    night.sweep()
    assert stage.last.state is RunState.SUCCEEDED


def test_a_sweep_survives_a_database_that_is_away() -> None:
    stage = Stage(FakeStep("pin"))
    stage.database.go_away(60)
    stage.night().sweep()


def test_a_reopened_night_goes_on_at_the_step_that_failed() -> None:
    def fail(_: Work) -> None:
        raise StepFailed("The disk is full.")

    pin, train = FakeStep("pin"), FakeStep("train:a", fail)
    stage = Stage(pin, train)
    assert stage.run().state is RunState.FAILED
    train.do = lambda _: None
    stage.book.forgive(1)
    assert stage.runs.reopen(1)
    stage.night().sweep()
    assert (stage.last.run_id, stage.last.state) == (1, RunState.SUCCEEDED)
    assert len(pin.seen) == 1
    assert [each.state for each in stage.reports] == [RunState.FAILED, RunState.SUCCEEDED]


def test_a_report_that_cannot_be_written_costs_only_the_report() -> None:
    stage = Stage(FakeStep("pin"), max_attempts=1)
    night = stage.night()

    def full(_: Work) -> None:
        raise OSError(28, "No space left on device")

    object.__setattr__(night, "report", lambda _: FakeStep("report", full))
    night.run("schedule")
    assert stage.last.state is RunState.SUCCEEDED
    assert stage.row("report").state is StepState.FAILED
