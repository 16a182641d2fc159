"""What the chain promises of steps: in order, recorded, tried again, ended in time, and never done twice."""

import json

import pytest

from scheduler.chain import StepFailed, StepRefused, Work
from services.domain.errors import CatalogDown, NotEnoughData
from services.domain.nights import StepState
from services.domain.runs import RunState
from tests.unit.scheduler.stage import FakeStep, Stage


def test_steps_are_done_in_order_and_know_what_the_ones_before_found() -> None:
    first, second = FakeStep("pin", lambda _: {"data_version": 7}), FakeStep("check")
    stage = Stage(first, second)
    assert stage.run().state is RunState.SUCCEEDED
    assert second.seen[0].data_version == 7
    assert stage.states() == {"pin": StepState.DONE, "check": StepState.DONE, "report": StepState.DONE}
    assert stage.row("check").inputs == {"after": ["pin"]}
    assert stage.row("pin").outputs == {"data_version": 7}


def test_what_a_step_says_is_in_its_log() -> None:
    def talk(work: Work) -> None:
        for epoch in range(3):
            work.note({"event": "epoch", "epoch": epoch})

    stage = Stage(FakeStep("train:a", talk))
    stage.run()
    lines = [json.loads(line) for line in stage.row("train:a").log.splitlines()]
    assert lines == [{"event": "epoch", "epoch": epoch} for epoch in range(3)]


def test_a_step_that_fails_is_tried_again_after_longer_and_longer_pauses() -> None:
    outcomes = iter([StepFailed("no room"), StepFailed("no room"), None])

    def fail_twice(_: Work) -> None:
        if (error := next(outcomes)) is not None:
            raise error

    stage = Stage(FakeStep("check", fail_twice))
    assert stage.run().state is RunState.SUCCEEDED
    assert stage.row("check").attempts == 3
    assert stage.pauses == [30.0, 60.0]


def test_after_its_last_attempt_the_night_ends_with_its_words() -> None:
    def fail(_: Work) -> None:
        raise StepFailed("The disk is full.")

    never = FakeStep("gate")
    stage = Stage(FakeStep("check", fail), never)
    run = stage.run()
    assert (run.state, run.detail) == (RunState.FAILED, "check: The disk is full.")
    assert (stage.row("check").state, stage.row("check").attempts) == (StepState.FAILED, 3)
    assert never.seen == []
    assert [each.detail for each in stage.reports] == [run.detail]


@pytest.mark.parametrize("error", [NotEnoughData("Too few events."), StepFailed("Too few events.", retry=False)])
def test_what_another_attempt_would_find_again_is_not_tried_again(error: Exception) -> None:
    def fail(_: Work) -> None:
        raise error

    stage = Stage(FakeStep("train:a", fail))
    assert stage.run().detail == "train:a: Too few events."
    assert stage.row("train:a").attempts == 1
    assert stage.pauses == []


def test_an_unexpected_error_is_a_failure_and_its_name_is_told() -> None:
    def crash(_: Work) -> None:
        raise ZeroDivisionError

    run = Stage(FakeStep("pin", crash)).run()
    assert run.state is RunState.FAILED
    assert "ZeroDivisionError" in run.detail


def test_the_night_goes_on_without_a_step_that_may_fail() -> None:
    def fail(_: Work) -> None:
        raise StepFailed("diverged")

    after = FakeStep("evaluate")
    stage = Stage(FakeStep("train:a", fail, may_fail=True), FakeStep("train:b"), after)
    assert stage.run().state is RunState.SUCCEEDED
    assert list(after.seen[0].outputs) == ["train:b"]
    assert stage.row("train:a").detail == "diverged"


def test_what_a_step_refuses_ends_the_night_with_its_figures_kept() -> None:
    def refuse(_: Work) -> None:
        raise StepRefused("Half the events are missing.", {"volume": 0.5})

    stage = Stage(FakeStep("check", refuse), FakeStep("gate"))
    run = stage.run()
    assert (run.state, run.detail) == (RunState.REFUSED, "check: Half the events are missing.")
    assert (stage.row("check").state, stage.row("check").outputs) == (StepState.REFUSED, {"volume": 0.5})
    assert stage.row("check").attempts == 1
    assert "gate" not in stage.states()


def test_a_step_that_takes_too_long_is_told_to_end_and_the_night_says_so() -> None:
    def hang(work: Work) -> None:
        stage.clock.advance(59)
        assert work.keep_going()
        stage.clock.advance(1)
        assert not work.keep_going()
        raise StepFailed("ended")

    stage = Stage(FakeStep("train:a", hang, timeout_s=60.0), max_attempts=1)
    run = stage.run()
    assert (run.state, run.detail) == (RunState.TIMED_OUT, "train:a: It took longer than 60 s and was ended.")


def test_a_step_that_took_long_but_was_done_is_done() -> None:
    def dawdle(_: Work) -> None:
        stage.clock.advance(61)

    stage = Stage(FakeStep("train:a", dawdle, timeout_s=60.0))
    assert stage.run().state is RunState.SUCCEEDED


def test_a_database_that_is_away_for_ten_minutes_costs_no_step() -> None:
    def lose_database(_: Work) -> None:
        stage.database.go_away(600)

    step = FakeStep("evaluate", lose_database)
    stage = Stage(step, FakeStep("gate"))
    assert stage.run().state is RunState.SUCCEEDED
    assert len(step.seen) == 1


def test_a_step_waits_for_its_database_itself_and_that_is_no_failure() -> None:
    def ask(work: Work) -> None:
        stage.database.go_away(30)

        def read() -> None:
            stage.database.check()

        work.patience.outlast(read)

    stage = Stage(FakeStep("swap", ask))
    stage.run()
    assert stage.row("swap").attempts == 1


def test_a_step_whose_database_is_down_when_it_gives_up_is_tried_again() -> None:
    tries = iter([CatalogDown("The catalog database is away."), None])

    def ask(_: Work) -> None:
        if (error := next(tries)) is not None:
            raise error

    stage = Stage(FakeStep("swap", ask))
    assert stage.run().state is RunState.SUCCEEDED
    assert stage.row("swap").attempts == 2
