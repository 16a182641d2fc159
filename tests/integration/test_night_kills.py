"""kill -9 of the scheduler, once in every step of one night: the next one goes on, and nothing is done in vain."""

import subprocess
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

from services.domain.nights import StepState
from services.domain.runs import RunState
from tests.integration.scheduler_home import WELL, Home
from tests.waiting import wait_until

STEPS = (
    "compact",
    "pin",
    "check",
    "train:nightly",
    "evaluate",
    "plan",
    "gate",
    "publish",
    "load",
    "swap",
    "watch",
    "report",
)


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    home = Home(tmp_path, f"sqlite:///{tmp_path / 'catalog.db'}")
    home.fill_log()
    yield home
    home.end_all()


@pytest.mark.timeout(300)
def test_a_night_survives_a_kill_in_every_step(home: Home) -> None:
    """At the worst moment: the work is done, and nobody knows it. tests/unit/scheduler/test_night.py has the others."""
    process = home.start(WELL, dies=True)
    home.ready(process)
    home.command("nights", "run-now")
    deaths = 0
    while True:
        if not _died(process, home):
            break
        deaths += 1
        process = home.start(WELL, dies=True)
    assert deaths == len(STEPS), home.log.read_text()
    run = home.last()
    assert (run.run_id, run.state, run.version) == (1, RunState.SUCCEEDED, "night-1-nightly")
    rows = home.nights.steps(1)
    assert [(row.name, row.state, row.attempts) for row in rows] == [(name, StepState.DONE, 2) for name in STEPS]
    # What training registered is found again by its origin, and a promotion that was made is not made twice.
    assert Counter(home.asked())["services.training"] == 1
    assert [change.version for change in home.registry.assignments(10)] == ["night-1-nightly"]


def _died(process: "subprocess.Popen[bytes]", home: Home) -> bool:
    """Waits until the scheduler is dead or the night is over."""
    wait_until(lambda: process.poll() is not None or home.last().state is not RunState.RUNNING, 60, "a death or an end")
    return process.poll() is not None
