"""Challengers as processes: one that is killed goes on from its own checkpoint, whatever another one left."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from services.adapters.delta_log import DeltaEventLog
from services.domain.streams import LogBatch
from services.settings import load
from tests.fakes.planted import planted_events

ENDLESS = {
    "NIGHTJAR_TRAIN__DIM": "16",
    "NIGHTJAR_TRAIN__MAX_HISTORY": "12",
    "NIGHTJAR_TRAIN__BATCH_EVENTS": "384",
    "NIGHTJAR_TRAIN__MAX_EPOCHS": "10000",
    "NIGHTJAR_TRAIN__PATIENCE": "1000",
    "NIGHTJAR_SCHEDULE__CHALLENGERS": '[{"name": "one"}]',
}


def first_epoch_of_a_killed(challenger: str, home: Path, *, at_least: int = 1) -> int:
    """Trains until so many epochs more were reported, and kills it; the number of the first of them."""
    environment = {**os.environ, **ENDLESS, "NIGHTJAR_HOME": str(home)}
    command = [sys.executable, "-m", "services.training", "--challenger", challenger]
    process = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    epochs: list[int] = []
    try:
        assert process.stdout is not None
        for line in process.stdout:
            said: Mapping[str, Any] = json.loads(line)
            if said["event"] == "epoch":
                epochs.append(said["epoch"])
            if len(epochs) == at_least:
                break
    finally:
        process.kill()
        process.wait()
    return epochs[0]


@pytest.mark.timeout(240)
def test_a_killed_challenger_goes_on_from_its_own_checkpoint(tmp_path: Path) -> None:
    """kill -9 after some epochs; what a run of the same settings left that was no challenger's is not looked at."""
    home = tmp_path / "home"
    DeltaEventLog(load(home=home).log_folder).append(LogBatch(planted_events(60, 20)))
    assert first_epoch_of_a_killed("one", home, at_least=3) == 1
    (home / "run" / "training.safetensors").write_bytes(b"another's")
    assert first_epoch_of_a_killed("one", home) >= 3
    assert (home / "run" / "challenger-one.safetensors").is_file()
    assert (home / "run" / "training.safetensors").read_bytes() == b"another's"
