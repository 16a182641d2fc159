"""One fit by two processes is the fit of one: each takes half of every batch, and both make the same steps."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
from safetensors.numpy import load_file

from services.adapters.delta_log import DeltaEventLog
from services.adapters.sql.engine import connect
from services.adapters.sql.training_runs import SqlTrainingRuns
from services.domain.streams import LogBatch
from services.domain.training_runs import TrainingState
from services.registry.wiring import open_registry
from services.settings import load
from services.training.model import STATE
from tests.fakes.planted import planted_events

SCRIPT = Path(__file__).with_name("distributed_fit.py")


TWO = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2")


def run(folder: Path, *command: str, **overrides: object) -> subprocess.CompletedProcess[str]:
    folder.mkdir(exist_ok=True)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OMP_WAIT_POLICY": "PASSIVE", "PYTHONPATH": str(Path.cwd())}
    return subprocess.run(
        [sys.executable, *command, str(SCRIPT), str(folder), json.dumps(overrides)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )


def fit(folder: Path, *command: str, **overrides: object) -> dict[str, np.ndarray]:
    done = run(folder, *command, **overrides)
    assert done.returncode == 0, done.stderr
    return load_file(folder / STATE)


@pytest.mark.parametrize("shard_items", [False, True])
def test_two_workers_end_with_the_numbers_of_one(tmp_path: Path, *, shard_items: bool) -> None:
    """Without dropout, whose masks would differ: to rounding, which four epochs of Adam make larger.

    With a table that each has half of, too, against one worker that has all of it.
    """
    alone = fit(tmp_path / "one")
    together = fit(tmp_path / "two", *TWO, shard_items=shard_items)
    assert alone.keys() == together.keys()
    for name, tensor in alone.items():
        assert np.allclose(tensor, together[name], atol=2e-3), name


def test_two_workers_that_died_go_on_with_their_halves_of_the_table(tmp_path: Path) -> None:
    """To the same numbers as those that did not, from the files that each has written.

    Where one of these is missing all start anew: nobody goes on alone, for the others would learn from other numbers.
    """
    whole = fit(tmp_path / "whole", *TWO, shard_items=True, max_epochs=3)
    died = run(tmp_path / "again", *TWO, shard_items=True, max_epochs=3, die_after=2)
    assert "died after epoch 2" in died.stderr
    shutil.copytree(tmp_path / "again", tmp_path / "missing")
    for path in (tmp_path / "missing").glob("run.worker1-*"):
        path.unlink()
    for name, epochs in (("again", [3]), ("missing", [1, 2, 3])):
        gone_on = run(tmp_path / name, *TWO, shard_items=True, max_epochs=3)
        assert gone_on.returncode == 0, gone_on.stderr
        assert json.loads(gone_on.stdout) == epochs
        tensors = load_file(tmp_path / name / STATE)
        assert all(np.array_equal(tensors[each], whole[each]) for each in whole)


def test_two_workers_train_and_publish_one_model(tmp_path: Path) -> None:
    """`torchrun -m services.training`: one of them says what happened and registers, the other one assists."""
    settings = load(home=tmp_path / "home")
    DeltaEventLog(settings.log_folder).append(LogBatch(planted_events(60, 20)))
    small = {"DIM": "16", "MAX_HISTORY": "12", "BATCH_EVENTS": "384", "MAX_EPOCHS": "2"}
    environment = {
        **os.environ,
        **{f"NIGHTJAR_TRAIN__{name}": value for name, value in small.items()},
        "NIGHTJAR_HOME": str(settings.home_folder),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node=2"]
    done = subprocess.run(
        [*command, "-m", "services.training"], env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert [line["event"] for line in said].count("done") == 1
    assert [line["epoch"] for line in said if line["event"] == "epoch"] == [1, 2]
    (run,) = SqlTrainingRuns(connect(settings.database_url)).newest(10)
    assert (run.state, run.epoch) == (TrainingState.COMPLETED, 2), "the leader alone keeps it"
    (model,) = open_registry(settings).newest(10)
    assert model.version == said[-1]["version"]
