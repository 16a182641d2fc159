"""`nightjar runs` beside real training processes: what it says while they go on, when they end, and when they die."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from services.adapters.delta_log import DeltaEventLog
from services.adapters.sql.engine import connect
from services.adapters.sql.training_runs import SqlTrainingRuns
from services.domain.streams import LogBatch
from services.domain.training_runs import TrainingRun, TrainingState
from services.registry.wiring import open_registry
from services.settings import Settings, load
from tests.fakes.planted import planted_events
from tests.waiting import wait_until

ENDLESS = {
    "NIGHTJAR_TRAIN__KIND": "ials",
    "NIGHTJAR_TRAIN__OPTIONS": json.dumps({"dim": 8, "num_epochs": 1_000_000}),
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    return load(home=tmp_path / "home")


def environment(settings: Settings, **more: str) -> dict[str, str]:
    return {**os.environ, "NIGHTJAR_HOME": str(settings.home_folder), **more}


def nightjar(settings: Settings, *arguments: str) -> str:
    command = [sys.executable, "-m", "services.cli.main", *arguments]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def listed(settings: Settings) -> Mapping[str, Any]:
    """The one run there is."""
    (run,) = json.loads(nightjar(settings, "runs", "--json"))["runs"]
    said: Mapping[str, Any] = run
    return said


@contextmanager
def training_without_end(settings: Settings) -> Iterator["subprocess.Popen[bytes]"]:
    """A process whose epochs are in the table."""
    DeltaEventLog(settings.log_folder).append(LogBatch(planted_events(60, 20)))
    open_registry(settings)
    runs = SqlTrainingRuns(connect(settings.database_url))

    def fits() -> list[TrainingRun]:
        return [run for run in runs.newest(1) if run.epoch]

    command = [sys.executable, "-m", "services.training", "--trigger", "nightly"]
    process = subprocess.Popen(
        command, env=environment(settings, **ENDLESS), stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    try:
        wait_until(fits, 60.0)
        yield process
    finally:
        process.kill()
        process.wait()


def test_before_any_training_it_says_how_to_start_one(settings: Settings) -> None:
    assert "nightjar train" in nightjar(settings, "runs")
    assert json.loads(nightjar(settings, "runs", "--json")) == {"runs": []}


def test_a_training_by_hand_leads_to_its_model(settings: Settings) -> None:
    DeltaEventLog(settings.log_folder).append(LogBatch(planted_events(60, 20)))
    made = json.loads(nightjar(settings, "train", "--kind", "item_knn", "--no-promote", "--json"))
    run = listed(settings)
    assert (run["state"], run["version"], run["kind"]) == ("completed", made["version"], "item_knn")
    assert (run["trigger"], run["mode"], run["stage"], run["silent_s"]) == ("manual", "full", "publish", None)
    assert made["version"] in nightjar(settings, "runs")


def test_one_that_goes_on_shows_how_far_it_is_and_one_that_is_stopped_that_it_was(settings: Settings) -> None:
    with training_without_end(settings) as process:
        run = listed(settings)
        assert (run["state"], run["stage"], run["trigger"], run["max_epochs"]) == (
            "running",
            "fit",
            "nightly",
            1_000_000,
        )
        assert run["loss"] > 0
        assert run["examples_per_s"] > 0
        assert run["left_s"] > 0
        process.send_signal(signal.SIGTERM)
        assert process.wait(30) == 128 + signal.SIGTERM
    run = listed(settings)
    assert (run["state"], run["detail"], run["left_s"]) == ("failed", "It was told to stop.", None)


def test_one_that_was_killed_leaves_a_row_that_stays_as_it_was(settings: Settings) -> None:
    """Which is what `silence` goes by: nobody writes it any more."""
    with training_without_end(settings) as process:
        process.kill()
        process.wait()
        (left,) = SqlTrainingRuns(connect(settings.database_url)).newest(10)
    assert left.state is TrainingState.RUNNING
    assert SqlTrainingRuns(connect(settings.database_url)).newest(10) == [left]
    silence = left.silence(left.update_time.replace(year=left.update_time.year + 1))
    assert silence is not None
    assert silence.days >= 365


def test_a_training_that_cannot_begin_to_learn_says_why(settings: Settings) -> None:
    DeltaEventLog(settings.log_folder).append(LogBatch(planted_events(5, 5)))
    command = [sys.executable, "-m", "services.training", "--as-of", "2001-01-01"]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    run = listed(settings)
    assert (run["state"], run["stage"]) == ("failed", "read")
    assert run["detail"] == json.loads(done.stdout.splitlines()[-1])["message"]
