"""A whole night whose training is a Kubernetes Job: the scheduler that followed it is killed, the next one goes on."""

import os
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml

from services.domain.nights import StepState
from services.domain.runs import RunState
from tests.integration.fake_kubectl import FakeKubectl
from tests.integration.scheduler_home import ROOT, WELL, Home
from tests.waiting import wait_until

pytestmark = [pytest.mark.postgres, pytest.mark.timeout(300)]


@pytest.fixture
def home(tmp_path: Path, postgres_url: str) -> Iterator[Home]:
    home = Home(tmp_path, postgres_url)
    home.environment |= {
        "NIGHTJAR_NIGHT__LAUNCHER": "kubernetes",
        "NIGHTJAR_KUBERNETES__NAMESPACE": "ml",
        "NIGHTJAR_KUBERNETES__IMAGE": "registry.example/nightjar:1",
        "NIGHTJAR_KUBERNETES__HOME_CLAIM": "nightjar-home",
        "PATH": f"{tmp_path / 'bin'}{os.pathsep}{os.environ['PATH']}",
    }
    home.fill_log()
    yield home
    home.end_all()


def test_the_next_scheduler_follows_the_job_that_is_there(home: Home) -> None:
    """One Job is made, though two schedulers looked after it; what came of it says the registry."""
    server = FakeKubectl(home.folder / "bin")
    server.play("gone", "running")
    first = home.start(WELL)
    home.ready(first)
    assert home.command("nights", "run-now")["state"] == "running"
    wait_until((server.folder / "applied.yaml").exists, 60, "the Job is made")
    first.kill()
    first.wait()
    home.runs.release(home.last())  # as if its lease had run out, a minute later
    second = home.start(WELL)
    wait_until(lambda: _attempts(home) == 2, 60, "the next scheduler goes on with the training")

    # What the pod would do: the manifest's own command line.
    (container,) = yaml.safe_load(server.applied)["spec"]["template"]["spec"]["containers"]
    module, *arguments = container["command"][2:]
    pod = [sys.executable, str(home.folder / "child.py"), module, *arguments]
    subprocess.run(pod, cwd=ROOT, env=home.environment, check=True, timeout=90)

    def is_over() -> bool:
        server.answer("complete")
        return home.last().state is not RunState.RUNNING

    wait_until(is_over, 90, "the night is over")
    assert home.last().state is RunState.SUCCEEDED, home.log.read_text()
    live, trained = home.registry.live(), home.registry.by_origin("night-1/nightly")
    assert live is not None
    assert trained is not None
    assert live.version == trained.version
    assert server.asked == ["apply"]
    (train,) = [step for step in home.nights.steps(1) if step.name == "train:nightly"]
    assert train.state is StepState.DONE
    assert second.poll() is None


def _attempts(home: Home) -> int:
    return sum(step.attempts for step in home.nights.steps(1) if step.name == "train:nightly")
