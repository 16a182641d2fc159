"""Training under torchrun, by two real processes: one model of the night's origin, and nobody left at a stop."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from scheduler.chain import StepFailed, Work
from scheduler.children import Task
from scheduler.facts import PIN, Facts
from scheduler.launchers.torchrun import TorchrunChildren
from scheduler.steps.challengers import Train
from services.adapters.delta_log import DeltaEventLog
from services.domain.clock import SystemClock
from services.domain.runs import Run, RunState
from services.domain.streams import LogBatch
from services.patience import Patience
from services.registry.wiring import open_registry
from services.settings import load
from tests.fakes.planted import planted_events
from tests.waiting import wait_until

pytestmark = pytest.mark.timeout(400)  # three processes import torch: 10 s of two idle cores, minutes of busy ones
SMALL = {"DIM": "16", "MAX_HISTORY": "12", "BATCH_EVENTS": "384", "MAX_EPOCHS": "2"}


def work(facts: Facts, notes: list[Mapping[str, Any]], keep_going: Callable[[], bool], timeout_s: float) -> Work:
    clock = SystemClock()
    run = Run(facts.run_id, "night", "schedule", clock.now(), RunState.RUNNING)
    return Work(run, facts, keep_going, lambda: True, notes.append, Patience(clock, lambda _: True), timeout_s)


def test_two_processes_train_one_model_of_the_nights_origin(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = load(home=tmp_path)
    log = DeltaEventLog(settings.log_folder)
    log.append(LogBatch(planted_events(60, 20)))
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path))
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for name, value in SMALL.items():
        monkeypatch.setenv(f"NIGHTJAR_TRAIN__{name}", value)
    registry = open_registry(settings)
    train = Train("nightly", TorchrunChildren(2), registry, 300.0)
    notes: list[Mapping[str, Any]] = []
    facts = Facts(12, {PIN: {"data_version": log.version()}})
    found = train.run(work(facts, notes, lambda: True, 300.0))
    (model,) = registry.newest(10)
    assert (model.version, model.origin) == (found["version"], "night-12/nightly")
    assert [note["event"] for note in notes].count("done") == 1, "the leader speaks for both"
    assert max(note["epoch"] for note in notes if note["event"] == "epoch") == 2


def test_workers_that_hear_no_signal_are_gone_all_the_same(tmp_path: Path) -> None:
    """torchrun puts each into a session of its own, so the end of its group does not reach them."""
    seen: dict[str, psutil.Process] = {}

    def both_run() -> bool:
        for file in tmp_path.glob("*.pid"):
            if file.name not in seen and (pid := file.read_text()):
                seen[file.name] = psutil.Process(int(pid))
        return len(seen) == 2

    task = Task("tests.integration.stubborn_worker", (str(tmp_path),))
    with pytest.raises(StepFailed, match="was ended"):
        TorchrunChildren(2).run(task, work(Facts(12, {}), [], lambda: not both_run(), 300.0))
    assert len(seen) == 2
    wait_until(lambda: not any(each.is_running() for each in seen.values()), what="no worker is left")
