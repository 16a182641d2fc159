"""The training process on a real log, folder and database; and the command that starts, judges and promotes."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.delta_log import DeltaEventLog
from services.domain.streams import LogBatch
from services.inference.serving_model import load_serving_model
from services.registry.wiring import open_registry
from services.settings import Settings, load
from tests.fakes.planted import planted_events

TRAINING = [sys.executable, "-m", "services.training"]
SMALL = {
    "NIGHTJAR_TRAIN__DIM": "16",
    "NIGHTJAR_TRAIN__MAX_HISTORY": "12",
    "NIGHTJAR_TRAIN__LEARNING_RATE": "0.02",
    "NIGHTJAR_TRAIN__BATCH_EVENTS": "384",
    "NIGHTJAR_TRAIN__MAX_EPOCHS": "8",
    "NIGHTJAR_TRAIN__INPUT_DROPOUT": "0.1",
}


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load(home=tmp_path / "home")
    DeltaEventLog(settings.log_folder).append(LogBatch(planted_events(120, 30)))
    return settings


def environment(settings: Settings, **more: str) -> dict[str, str]:
    return {**os.environ, **SMALL, "NIGHTJAR_HOME": str(settings.home_folder), **more}


def lines(text: str) -> list[Mapping[str, Any]]:
    return [json.loads(line) for line in text.splitlines()]


def test_the_command_trains_judges_and_makes_live(settings: Settings) -> None:
    """`nightjar train --json`: one object on standard output, the model live, and serving can load it."""
    command = [sys.executable, "-m", "services.cli.main", "train", "--json"]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    (said,) = lines(done.stdout)
    assert said["promoted"] is True
    assert said["metrics"]["ndcg_gain_at_10_low"] > 0.3
    registry = open_registry(settings)
    live = registry.live()
    assert live is not None
    assert live.version == said["version"]
    model = registry.get(live.version)
    assert load_serving_model(FolderBundleStore(settings.bundle_folder).fetch(model.location)).version == live.version


def test_a_model_of_the_past_is_registered_and_does_not_go_live_unasked(settings: Settings) -> None:
    """`--as-of` leaves tonight's model alone, and says so."""
    command = [sys.executable, "-m", "services.cli.main", "train", "--kind", "popularity", "--as-of", "2100-01-01"]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "not judged and not live, since it is of 2100-01-01" in " ".join(done.stdout.split())
    registry = open_registry(settings)
    (model,) = registry.newest(10)
    assert (registry.live(), model.verdict) == (None, None)


def test_a_log_with_too_little_fails_in_one_line(tmp_path: Path) -> None:
    """No events before the as-of time: status 1, the reason on standard output, nothing published."""
    settings = load(home=tmp_path / "home")
    DeltaEventLog(settings.log_folder).append(LogBatch(planted_events(5, 5)))
    command = [*TRAINING, "--as-of", "2001-01-01"]
    done = subprocess.run(command, env=environment(settings), capture_output=True, text=True, check=False)
    assert done.returncode == 1
    last = lines(done.stdout)[-1]
    assert (last["event"], last["reason"]) == ("failed", "NOT_ENOUGH_DATA")
    assert "Traceback" not in done.stderr
    assert not settings.bundle_folder.exists()


def test_sigterm_ends_it_at_once_and_nothing_is_published(settings: Settings, tmp_path: Path) -> None:
    """Told to stop in the middle of fitting, it ends with the signal's status and cleans its drafts away."""
    drafts = tmp_path / "drafts"
    drafts.mkdir()
    endless = environment(
        settings, NIGHTJAR_TRAIN__MAX_EPOCHS="10000", NIGHTJAR_TRAIN__PATIENCE="1000", TMPDIR=str(drafts)
    )
    process = subprocess.Popen(TRAINING, env=endless, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert process.stdout is not None
        heard = next(said for said in map(json.loads, process.stdout) if said["event"] == "epoch")
        process.send_signal(signal.SIGTERM)
        _, log = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert heard["max_epochs"] == 10_000
    assert process.returncode == 128 + signal.SIGTERM
    assert "Traceback" not in log
    assert not settings.bundle_folder.exists()
    assert not list(drafts.glob("nightjar-draft-*"))
    assert open_registry(settings).newest(1) == []
