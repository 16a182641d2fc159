"""`nightjar tune` on a small planted log: it finds, it goes on, it stops, and it says what does not go together."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.adapters.delta_log import DeltaEventLog
from services.adapters.sql.engine import connect
from services.adapters.sql.tuning_trials import SqlTuningTrials
from services.domain.clock import SystemClock
from services.domain.streams import LogBatch
from services.domain.tuning import TrialState
from services.settings import Settings, load
from tests.fakes.planted import planted_events
from tests.waiting import wait_until

TUNE = [sys.executable, "-m", "services.cli.main", "tune"]
SMALL = {
    "NIGHTJAR_TRAIN__DIM": "16",
    "NIGHTJAR_TRAIN__NUM_HEADS": "2",
    "NIGHTJAR_TRAIN__MAX_HISTORY": "12",
    "NIGHTJAR_TRAIN__LEARNING_RATE": "0.5",
    "NIGHTJAR_TRAIN__MAX_EPOCHS": "2",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load(home=tmp_path / "home")
    DeltaEventLog(settings.log_folder).append(LogBatch(planted_events(60, 20)))
    return settings


def environment(settings: Settings, **more: str) -> dict[str, str]:
    return {**os.environ, **SMALL, "NIGHTJAR_HOME": str(settings.home_folder), **more}


def tune(settings: Settings, *arguments: object) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [*TUNE, *map(str, arguments)], env=environment(settings), capture_output=True, text=True, check=False
    )


def found(done: "subprocess.CompletedProcess[str]") -> Mapping[str, Any]:
    assert done.returncode == 0, done.stderr
    (line,) = done.stdout.splitlines()
    said: Mapping[str, Any] = json.loads(line)
    return said


def trials_of(settings: Settings) -> SqlTuningTrials:
    return SqlTuningTrials(connect(settings.database_url), SystemClock())


def test_a_search_finds_better_settings_and_changes_nothing(settings: Settings) -> None:
    """The present learning rate is far too large; the lines to paste are settings."""
    done = tune(settings, "--trials", 5, "--json")
    said = found(done)
    assert (said["num_trials"], said["study"], said["present"]["number"]) == (5, "sequence", 0)
    assert said["present"]["settings"]["dim"] == 16
    assert said["gain"] == said["best"]["ndcg_at_10"] - said["present"]["ndcg_at_10"] > 0
    assert "trial 5 of 5" in done.stderr
    assert not settings.bundle_folder.exists()
    pasted = subprocess.run(
        [sys.executable, "-c", "from services.settings import load; print(load().train.dim)"],
        env=environment(settings, **said["settings"]), capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert int(pasted.stdout) == said["best"]["settings"]["dim"]


def test_parallel_workers_share_a_search_that_goes_on_later(settings: Settings) -> None:
    first = found(tune(settings, "--kind", "item_knn", "--trials", 3, "--study", "shop", "--json"))
    later = found(tune(settings, "--kind", "item_knn", "--trials", 8, "--study", "shop", "--jobs", 2, "--json"))
    assert (first["num_trials"], later["num_trials"]) == (3, 8)
    assert later["best"]["ndcg_at_10"] >= first["best"]["ndcg_at_10"] > 0
    stored = trials_of(settings).all("shop")
    assert [trial.number for trial in stored] == list(range(8))
    assert {trial.state for trial in stored} == {TrialState.COMPLETE}


def test_a_log_that_grew_is_said_and_the_old_version_can_be_gone_on_with(settings: Settings) -> None:
    before = found(tune(settings, "--kind", "item_knn", "--trials", 1, "--json"))["data_version"]
    now = DeltaEventLog(settings.log_folder).append(LogBatch(planted_events(61, 20)[-5:]))
    refused = tune(settings, "--kind", "item_knn", "--trials", 2)
    assert (refused.returncode, refused.stdout) == (2, "")
    assert f"--study item_knn is of version {before} of the log, not {now}" in refused.stderr
    assert "Traceback" not in refused.stderr
    same = ["--kind", "item_knn", "--json"]
    assert found(tune(settings, *same, "--trials", 2, "--data-version", before))["num_trials"] == 2
    assert found(tune(settings, *same, "--trials", 1, "--study", "new"))["data_version"] == now


def test_popularity_has_nothing_to_search(settings: Settings) -> None:
    done = tune(settings, "--kind", "popularity")
    assert (done.returncode, done.stdout) == (2, "")
    assert "--kind popularity has nothing to search; choose one of sequence" in done.stderr


def test_sigterm_ends_a_worker_and_its_trial_is_lost(settings: Settings) -> None:
    """So that the next search is not held up."""
    endless = environment(settings, NIGHTJAR_TRAIN__MAX_EPOCHS="10000", NIGHTJAR_TRAIN__PATIENCE="1000")
    worker = [sys.executable, "-m", "services.training.tuning", "--trials", "3"]
    process = subprocess.Popen(worker, env=endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        next(said for said in map(json.loads, process.stdout) if said["event"] == "epoch")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in log
    assert [trial.state for trial in trials_of(settings).all("sequence")] == [TrialState.LOST]


def test_sigterm_ends_a_search_and_shows_the_best_so_far(settings: Settings) -> None:
    command = [*TUNE, "--kind", "item_knn", "--trials", "10000", "--budget-s", "0", "--json"]
    process = subprocess.Popen(
        command, env=environment(settings), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    try:
        wait_until(lambda: is_begun(settings), 60)
        process.send_signal(signal.SIGTERM)
        out, errors = process.communicate(timeout=60)
    finally:
        process.kill()
        process.wait()
    assert process.returncode == 0, errors
    said = json.loads(out)
    assert said["best"]["ndcg_at_10"] > 0
    assert 0 < said["num_trials"] < 10_000


def is_begun(settings: Settings) -> bool:
    """A trial is complete, and the command has heard of it."""
    log = settings.home_folder / "logs" / "tuning.log"
    return log.is_file() and log.read_text().count("trial_ended") > 1
