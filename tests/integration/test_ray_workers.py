"""Ray Train starts the run that torchrun starts: the same figures as one process, nobody else let in, nothing left."""

import json
import os
import re
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import pytest
from safetensors.numpy import load_file

from services.adapters.delta_log import DeltaEventLog
from services.domain.interactions import Interaction
from services.domain.models import Model
from services.domain.streams import LogBatch
from services.registry.wiring import open_registry
from services.settings import Settings, load
from services.training.model import STATE
from tests.fakes.planted import planted_events

pytestmark = pytest.mark.timeout(600)  # a dozen processes start: 15 s of two idle cores, minutes of busy ones

TINY: Mapping[str, Any] = {
    "DIM": 16,
    "MAX_HISTORY": 12,
    "BATCH_EVENTS": 384,
    "MAX_EPOCHS": 3,
    "DROPOUT": 0,  # whose masks would differ
    "INPUT_DROPOUT": 0,
    "PRECISION": "float32",
}
BY_TWO, BY_ONE = ("--ray-workers", "2"), ("--ray-workers", "1")


def home_with(folder: Path, events: Sequence[Interaction]) -> Settings:
    settings = load(home=folder)
    DeltaEventLog(settings.log_folder).append(LogBatch(events))
    return settings


@contextmanager
def training(settings: Settings, log: Path, *arguments: str, **other: int) -> "Iterator[subprocess.Popen[str]]":
    """`python -m services.training`, whose log ends up in the file."""
    environment = {
        **os.environ,
        **{f"NIGHTJAR_TRAIN__{name}": str(value) for name, value in {**TINY, **other}.items()},
        "NIGHTJAR_HOME": str(settings.home_folder),
        "OMP_NUM_THREADS": "1",
    }
    command = [sys.executable, "-m", "services.training", *arguments]
    with (
        log.open("w") as written,
        subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=written, text=True) as process,
    ):
        try:
            yield process
        finally:
            process.kill()


def said(process: "subprocess.Popen[str]") -> Iterator[dict[str, Any]]:
    assert process.stdout is not None
    for line in process.stdout:
        yield json.loads(line)


@dataclass(frozen=True)
class Rays:
    """What Ray started and wrote for a run."""

    processes: Sequence[psutil.Process]
    folder: Path

    @classmethod
    def of(cls, run: "subprocess.Popen[str]") -> "Rays":
        processes = psutil.Process(run.pid).children(recursive=True)
        folders = set()
        for process in processes:
            with suppress(psutil.NoSuchProcess):
                folders.update(re.findall(r"/tmp/nightjar-ray-\w+", str(process.cmdline())))
        return cls(processes, Path(folders.pop()))

    def must_be_gone(self) -> None:
        assert psutil.wait_procs(self.processes, timeout=30)[1] == []
        assert not self.folder.exists()


def open_to_others(processes: Sequence[psutil.Process]) -> list[str]:
    """The names of those at which another machine could connect, once a socket; one that has ended is not."""
    names = []
    for process in processes:
        with suppress(psutil.NoSuchProcess):
            listening = (each for each in process.net_connections("inet") if each.status == psutil.CONN_LISTEN)
            local = {"127.0.0.1", "::ffff:127.0.0.1", "::1"}
            names += [process.cmdline()[0] for each in listening if each.laddr.ip not in local]
    return names


def model_of(settings: Settings) -> tuple[Model, Mapping[str, np.ndarray]]:
    (model,) = open_registry(settings).newest(10)
    return model, load_file(settings.bundle_folder / model.location / STATE)


def test_two_workers_under_ray_give_the_figures_of_one(tmp_path: Path) -> None:
    """And while they do, nothing of Ray's can be reached from another machine; afterwards nothing of it is left.

    torch's own meeting place of the workers, in the first of them, is the one exception: it listens everywhere, under
    torchrun as well.
    """
    events = planted_events(60, 20)
    one, two = home_with(tmp_path / "one", events), home_with(tmp_path / "two", events)
    with training(one, tmp_path / "one.log") as alone:
        assert [line["event"] for line in said(alone)][-1] == "done", (tmp_path / "one.log").read_text()
    with training(two, log := tmp_path / "two.log", *BY_TWO) as together:
        lines = said(together)
        assert next(lines)["event"] == "stage", log.read_text()
        rays = Rays.of(together)
        assert open_to_others(rays.processes) == ["ray::RayTrainWorker"]
        told = list(lines)
    assert together.wait() == 0, log.read_text()
    rays.must_be_gone()
    assert [line["epoch"] for line in told if line["event"] == "epoch"] == [1, 2, 3]
    assert "training_stage" in log.read_text(), "the log of the workers is passed on"
    (expected, tensors), (model, found) = model_of(one), model_of(two)
    assert model.version == told[-1]["version"]
    for name, tensor in tensors.items():
        assert np.allclose(tensor, found[name], atol=2e-3), name
    for figure in ("ndcg_at_10", "recall_at_20", "coverage_at_10"):
        assert model.metrics[figure] == pytest.approx(expected.metrics[figure], abs=0.01), figure


def test_what_a_worker_fails_of_is_told_as_if_it_had_trained_alone(tmp_path: Path) -> None:
    settings = home_with(tmp_path / "home", planted_events(1, 1))
    with training(settings, log := tmp_path / "log", *BY_ONE) as process:
        *_, last = said(process)
    assert process.wait() == 1
    assert last["event"] == "failed", log.read_text()
    assert last["reason"] == "NOT_ENOUGH_DATA"
    assert "collect more" in last["message"]
    assert open_registry(settings).newest(10) == []


def test_a_run_that_is_told_to_stop_leaves_nothing_behind(tmp_path: Path) -> None:
    settings = home_with(tmp_path / "home", planted_events(60, 20))
    with training(settings, log := tmp_path / "log", *BY_ONE, MAX_EPOCHS=9_000, PATIENCE=900) as process:
        assert next(said(process))["event"] == "stage", log.read_text()
        rays = Rays.of(process)
        process.send_signal(signal.SIGTERM)
        assert process.wait() == 128 + signal.SIGTERM, log.read_text()
    rays.must_be_gone()
    assert open_registry(settings).newest(10) == []
