"""A run's row says how the run is; and whatever the database does, the run neither waits nor fails."""

import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from services.domain.errors import CatalogDown, TrainingFailed
from services.domain.models import Model
from services.domain.training_runs import TrainingRun, TrainingState
from services.training.job import Report
from services.training.kinds.factory import make_model
from services.training.recording import Recording, recorded
from tests.fakes.clock import START, FakeClock
from tests.fakes.model_registry import model
from tests.fakes.training_runs import FakeTrainingRuns
from tests.unit.training.job_bench import Run
from tests.waiting import wait_until

BEGUN = TrainingRun("run-1", "sequence", "manual", START, START)
STAGE = {"event": "stage", "name": "fit", "num_events": 5, "num_items": 3, "mode": "full"}
LONG_S = 60.0


def epoch(number: int, **figures: float) -> dict[str, Any]:
    told = {"loss": 4.0, "valid_ndcg_at_10": 0.25, "examples_per_s": 1_000.0, "elapsed_s": 10.0 * number}
    return {"event": "epoch", "epoch": number, "max_epochs": 4, **told, **figures}


class Away(FakeTrainingRuns):
    """Out of reach for so many words."""

    def __init__(self, num_times: float = float("inf")) -> None:
        super().__init__()
        self.num_times, self.num_asked = num_times, 0

    def record(self, run: TrainingRun) -> None:
        self.num_asked += 1
        if self.num_asked <= self.num_times:
            raise CatalogDown("The catalog database cannot be used.")
        super().record(run)


class Stuck(FakeTrainingRuns):
    """Answers nothing until it is let go."""

    def __init__(self) -> None:
        super().__init__()
        self.is_asked, self.let_go = threading.Event(), threading.Event()

    def record(self, run: TrainingRun) -> None:
        self.is_asked.set()
        assert self.let_go.wait(LONG_S)
        super().record(run)


def test_a_run_is_in_the_table_from_its_first_stage_to_its_model(tmp_path: Path) -> None:
    """The whole job, with a kind that learns by epochs and does not look at validation."""
    run, runs, seen = Run(tmp_path, lambda: make_model("ials", dim=8, num_epochs=3)), FakeTrainingRuns(), []

    def train(report: Report) -> Model:
        def report_and_look(line: Any) -> None:
            report(line)
            if line.get("name") == "evaluate":
                seen.append(wait_until(lambda: [each for each in runs.newest(1) if each.stage == "evaluate"])[0])

        return replace(run.job, report=report_and_look).run()

    made = recorded(runs, run.job.clock, "ials", "nightly", run.job.report, train)
    (ended,) = runs.newest(10)
    assert (ended.kind, ended.trigger, ended.mode, ended.stage) == ("ials", "nightly", "full", "publish")
    assert (ended.state, ended.version, ended.detail) == (TrainingState.COMPLETED, made.version, "")
    assert (ended.epoch, ended.max_epochs, ended.valid_ndcg_at_10) == (3, 3, None)
    assert ended.loss is not None
    assert ended.examples_per_s is not None
    (evaluating,) = seen
    assert (evaluating.state, evaluating.version, evaluating.left_s) == (TrainingState.RUNNING, None, None)
    assert [line.get("name", line.get("epoch")) for line in run.said][:5] == ["read", "fit", 1, 2, 3], "heard as ever"


def test_while_it_fits_the_figures_are_those_of_the_last_epoch_and_the_time_left_is_reckoned() -> None:
    runs, clock = FakeTrainingRuns(), FakeClock()
    with Recording(runs, clock, BEGUN) as recording:
        recording.hear(STAGE)
        clock.advance(10)
        recording.hear(epoch(1))
        now = wait_until(lambda: [run for run in runs.newest(1) if run.epoch == 1])[0]
        recording.complete(model("a").version)
    assert (now.stage, now.mode, now.state, now.update_time) == ("fit", "full", TrainingState.RUNNING, clock.now())
    assert (now.loss, now.valid_ndcg_at_10, now.examples_per_s, now.left_s) == (4.0, 0.25, 1_000.0, 30.0)


@pytest.mark.parametrize(
    ("error", "says"),
    [
        (TrainingFailed("The loss became nan; train again."), "The loss became nan; train again."),
        (TrainingFailed("x" * 9_999), "x" * 1_000),
        (ZeroDivisionError("a / b"), "Unexpected ZeroDivisionError; the log has the rest."),
        (SystemExit(143), "It was told to stop."),
        (KeyboardInterrupt(), "It was told to stop."),
    ],
    ids=["fails", "fails at length", "breaks", "is ended", "is interrupted"],
)
def test_a_run_that_fails_or_is_stopped_says_why_and_how_far_it_came(error: BaseException, says: str) -> None:
    runs, clock = FakeTrainingRuns(), FakeClock()

    def train(report: Report) -> Model:
        report(STAGE)
        report(epoch(2))
        clock.advance(5)
        raise error

    with pytest.raises(type(error)):
        recorded(runs, clock, "sequence", "manual", lambda _: None, train)
    (run,) = runs.newest(10)
    assert (run.state, run.detail, run.version) == (TrainingState.FAILED, says, None)
    assert (run.stage, run.epoch, run.left_s, run.update_time) == ("fit", 2, None, START + timedelta(seconds=5))


def test_a_database_that_is_away_costs_one_line_of_log() -> None:
    runs, clock = Away(), FakeClock()
    with capture_logs() as told, Recording(runs, clock, BEGUN) as recording:
        wait_until(lambda: runs.num_asked == 1)
        recording.hear(epoch(1))
        wait_until(lambda: runs.num_asked == 2)
        recording.complete(model("a").version)
    assert runs.num_asked == 3
    assert [(line["event"], line["run_id"]) for line in told] == [("training_run_not_recorded", "run-1")]


def test_what_was_missed_while_the_database_was_away_is_caught_up_on() -> None:
    runs, clock = Away(num_times=2), FakeClock()
    with Recording(runs, clock, BEGUN) as recording:
        wait_until(lambda: runs.num_asked == 1)
        recording.hear(epoch(1))
        wait_until(lambda: runs.num_asked == 2)
        recording.complete(model("a").version)
    (run,) = runs.newest(10)
    assert (run.state, run.epoch) == (TrainingState.COMPLETED, 1)


def test_training_does_not_wait_for_a_database_that_hangs() -> None:
    """All epochs and the end pass while the first word is still on its way; once it is let go, the last one follows."""
    runs, clock = Stuck(), FakeClock()
    with Recording(runs, clock, BEGUN, last_word_s=0.05) as recording:
        assert runs.is_asked.wait(LONG_S)
        for number in range(1, 5):
            recording.hear(epoch(number))
        recording.complete(model("a").version)
    assert runs.newest(10) == []
    runs.let_go.set()
    (run,) = wait_until(lambda: [each for each in runs.newest(10) if each.state is TrainingState.COMPLETED])
    assert run.epoch == 4


def test_a_long_epoch_gives_word_and_its_time_runs_down() -> None:
    runs, clock = FakeTrainingRuns(), FakeClock()
    with Recording(runs, clock, BEGUN, heartbeat_s=0.01) as recording:
        recording.hear(STAGE)
        recording.hear(epoch(1))
        clock.advance(12)
        wait_until(lambda: runs.newest(1)[0].update_time == clock.now())
        (run,) = runs.newest(1)
        assert (run.epoch, run.left_s) == (1, 18.0)
        clock.advance(100)
        wait_until(lambda: runs.newest(1)[0].left_s == 0.0)
        recording.complete(model("a").version)


class Broken(FakeTrainingRuns):
    def record(self, run: TrainingRun) -> None:
        raise ValueError("a fault of ours")


@pytest.mark.parametrize("make", [Away, Broken])
def test_no_fault_of_the_table_reaches_the_run(make: Callable[[], FakeTrainingRuns]) -> None:
    with capture_logs() as told:
        made = recorded(make(), FakeClock(), "sequence", "manual", lambda _: None, lambda report: trained(report))
    assert made == model("a")
    assert "training_run_" in str(told)


def trained(report: Report) -> Model:
    report(STAGE)
    report(epoch(1))
    return model("a")
