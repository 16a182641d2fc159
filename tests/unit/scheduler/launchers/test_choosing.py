"""Every launcher gets the same task; what it adds is how many processes, and where."""

import sys
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import pytest

from scheduler.chain import Work
from scheduler.children import Task
from scheduler.facts import PIN, Facts
from scheduler.launchers.choosing import chosen_launcher
from scheduler.launchers.kubernetes import KubernetesJobs
from scheduler.launchers.torchrun import TorchrunChildren, torchrun_command
from scheduler.steps.challengers import training_task
from services.domain.runs import Run, RunState
from services.patience import Patience
from services.settings import Settings
from tests.fakes.clock import FakeClock
from tests.fakes.model_registry import FakeModelRegistry
from tests.fakes.training_runs import FakeTrainingRuns

TASK = training_task(Facts(12, {PIN: {"data_version": 7}}), "warm")


@dataclass
class FakeChildren:
    """Does nothing, well."""

    asked: list[Task] = field(default_factory=list)

    def run(self, task: Task, work: Work) -> Mapping[str, Any]:
        self.asked.append(task)
        return {"event": "done"}


def launcher(children: FakeChildren, **sections: Any) -> Any:
    clock = FakeClock()
    settings = Settings.model_validate({"database": {"url": "postgresql://db/nightjar"}, **sections})
    return chosen_launcher(settings, children, FakeModelRegistry(clock), FakeTrainingRuns(), clock, clock.advance)


def test_a_training_names_its_night_its_challenger_and_its_data() -> None:
    said = "--trigger nightly --challenger warm --data-version 7 --origin night-12/warm"
    assert (TASK.module, " ".join(TASK.arguments)) == ("services.training", said)


def test_local_is_where_all_steps_run() -> None:
    children = FakeChildren()
    assert launcher(children) is children


def test_under_ray_the_same_process_asks_a_cluster() -> None:
    children, clock = FakeChildren(), FakeClock()
    ray = launcher(children, night={"launcher": "ray"}, launchers={"ray_workers": 4, "ray_address": "ray://head:10001"})
    run = Run(12, "night", "schedule", clock.now(), RunState.RUNNING)
    patience = Patience(clock, lambda _: False)
    ray.run(TASK, Work(run, Facts(12, {}), lambda: True, lambda: True, lambda _: None, patience, 60.0))
    (asked,) = children.asked
    assert asked.module == TASK.module
    assert asked.arguments == (*TASK.arguments, "--ray-workers", "4", "--ray-address", "ray://head:10001")


def test_torchrun_starts_the_same_module_several_times() -> None:
    chosen = launcher(FakeChildren(), night={"launcher": "torchrun"}, launchers={"torchrun_processes": 3})
    assert chosen == TorchrunChildren(3)
    start = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc-per-node", "3"]
    assert torchrun_command(TASK, 3) == [*start, "-m", "services.training", *TASK.arguments]


def test_kubernetes_asks_in_the_namespace_of_the_settings() -> None:
    kubernetes = {"image": "nightjar:1", "home_claim": "home", "namespace": "ml"}
    chosen = launcher(FakeChildren(), night={"launcher": "kubernetes"}, kubernetes=kubernetes)
    assert isinstance(chosen, KubernetesJobs)
    assert chosen.kubectl.namespace == "ml"


def test_a_launcher_nobody_knows_is_refused_at_the_start() -> None:
    with pytest.raises(ValueError, match="launcher"):
        launcher(FakeChildren(), night={"launcher": "slurm"})
