"""The scheduler as a process: it says when it is ready, runs nights that are asked for, and stops cleanly."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from datetime import datetime
from pathlib import Path

import psutil
import pytest

from services.domain.nights import StepState
from services.domain.runs import NOBODY, RunState
from tests import postgres
from tests.integration.scheduler_home import LEASE_S, ROOT, WELL, Home
from tests.integration.serving_process import LogReader
from tests.waiting import wait_until

BLOCKS_ONCE = """
import time
if module == "services.training" and not (home / "blocked.pid").exists():
    (home / "blocked.pid").write_text(str(os.getpid()))
    time.sleep(600)
MODULES[module]()
"""
WAITS_FOR_A_WORD = """
import time
(home / "blocked.pid").write_text(str(os.getpid()))
while module == "services.training" and not (home / "go").exists():
    time.sleep(.05)
MODULES[module]()
"""
TRAINS_FOR_EVER = """
import time
if module == "services.training":
    pathlib.Path(os.environ["NIGHTJAR_HOME"], "blocked.pid").write_text(str(os.getpid()))
    time.sleep(600)
MODULES[module]()
"""
BAD_DATA = """
MODULES["services.training.checking"] = lambda: check(False)
MODULES[module]()
"""
DIES_ONCE = """
if module == "services.training" and not (home / "died").exists():
    (home / "died").touch()
    os.kill(os.getpid(), 9)
MODULES[module]()
"""
BAD_MODEL = """
GOOD["ndcg_gain_at_10_low"] = -.1
MODULES[module]()
"""


@pytest.fixture
def home(tmp_path: Path) -> Iterator[Home]:
    """On SQLite; what the database must do for the scheduler is tested on both by the suites of its parts."""
    home = Home(tmp_path, f"sqlite:///{tmp_path / 'catalog.db'}")
    home.fill_log()
    yield home
    home.end_all()


def _stop(process: "subprocess.Popen[bytes]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(30)


def test_a_night_asked_for_does_every_step_and_its_model_is_live(home: Home) -> None:
    process = home.start(WELL)
    home.ready(process)
    assert json.loads(home.ready_file.read_text())["pid"] == process.pid
    run = home.command("schedule", "run-now", "--wait")
    assert (run["status"], run["state"], run["version"]) == (0, "succeeded", "night-1-nightly"), home.log.read_text()
    live = home.registry.live()
    assert live is not None
    assert (live.version, live.actor) == ("night-1-nightly", "scheduler")
    computed = ["training.checking", "training", "training.judging", "inference.planning"]
    assert home.asked() == [f"services.{module}" for module in computed]
    shown = home.command("nights", "show")
    names = ["compact", "pin", "check", "train:nightly", "evaluate", "plan", "gate", "publish", "load", "swap", "watch"]
    assert [step["name"] for step in shown["steps"]] == [*names, "report"]
    assert {step["state"] for step in shown["steps"]} == {"done"}
    report = (home.folder / "nights" / "1" / "report.md").read_text()
    assert report.startswith("# Night 1: a new model is live")
    assert "| gain_over_popularity | 0.02 | 0 | yes |" in report
    assert [night["night"] for night in home.command("nights", "list")["nights"]] == [run["run_id"]]
    assert home.command("schedule", "list")["next_run_time"].endswith("T02:00:00+00:00")
    assert _stop(process) == 0


def test_data_that_the_checks_refuse_ends_the_night_until_an_operator_accepts_it(home: Home) -> None:
    process = home.start(BAD_DATA)
    home.ready(process)
    run = home.command("nights", "run-now", "--wait")
    assert (run["status"], run["state"]) == (1, "refused")
    assert run["detail"] == "check: Half of the usual events came."
    assert home.asked() == ["services.training.checking"]
    unexplained = home.run("nights", "resume")
    assert (unexplained.returncode, "--accept" in unexplained.stderr) == (2, True)
    accepted = home.run("nights", "resume", "--accept", "a public holiday")
    assert accepted.returncode == 0, accepted.stderr
    wait_until(lambda: home.last().state is RunState.SUCCEEDED, 60, "the night goes on")
    (check,) = [step for step in home.nights.steps(1) if step.name == "check"]
    assert check.state is StepState.ACCEPTED
    assert "a public holiday" in check.detail
    assert home.asked().count("services.training.checking") == 1


def test_a_model_that_the_gate_refuses_stays_out_and_only_an_override_brings_it_in(home: Home) -> None:
    process = home.start(BAD_MODEL)
    home.ready(process)
    run = home.command("nights", "run-now", "--wait")
    assert (run["status"], run["state"], run["version"]) == (1, "refused", "night-1-nightly")
    assert "the lower end is not above" in run["detail"]
    assert home.registry.live() is None
    resumed = home.run("nights", "resume")
    assert (resumed.returncode, "ended as it should" in resumed.stderr) == (1, True)


def test_of_two_schedulers_one_runs_the_night_and_when_it_is_killed_the_other_goes_on(home: Home) -> None:
    both = [home.start(BLOCKS_ONCE), home.start(BLOCKS_ONCE)]
    for process in both:
        home.ready(process)
    home.command("nights", "run-now")
    training = home.blocked()
    (busy,) = [process for process in both if training.ppid() == process.pid]
    (idle,) = [process for process in both if process is not busy]
    holder = home.last().holder
    busy.kill()
    busy.wait()
    wait_until(lambda: home.last().state is RunState.SUCCEEDED, 60, "the other one goes on")
    assert home.last().holder != holder
    assert idle.poll() is None
    assert [run.run_id for run in home.runs.newest(10, "night")] == [1]
    assert home.asked().count("services.training.checking") == 1


@pytest.mark.postgres
def test_a_database_that_is_gone_for_longer_than_the_lease_costs_the_night_nothing(
    tmp_path: Path, postgres_url: str
) -> None:
    home = Home(tmp_path, postgres_url)
    home.fill_log()
    try:
        home.ready(home.start(WAITS_FOR_A_WORD))
        home.command("nights", "run-now")
        wait_until(lambda: "services.training\n" in (tmp_path / "children.log").read_text(), 60, "it trains")
        holder, log = home.last().holder, LogReader(home.log)
        with postgres.away(postgres_url):
            in_vain: list[datetime] = []

            def has_run_out() -> bool:
                lines = (line for line in log.new() if line["event"] == "lease_not_renewed")
                in_vain.extend(datetime.fromisoformat(line["timestamp"]) for line in lines)
                return bool(in_vain) and (in_vain[-1] - in_vain[0]).total_seconds() > LEASE_S

            wait_until(has_run_out, 60, "it asked in vain for longer than the lease")
        (tmp_path / "go").touch()
        wait_until(lambda: home.last().state is RunState.SUCCEEDED, 60, "the night ends")
        assert home.last().holder == holder
        assert {step.attempts for step in home.nights.steps(1)} == {1}
    finally:
        home.end_all()


def test_a_trainer_that_is_killed_is_tried_again(home: Home) -> None:
    process = home.start(DIES_ONCE)
    home.ready(process)
    run = home.command("nights", "run-now", "--wait")
    assert (run["status"], run["state"]) == (0, "succeeded"), home.log.read_text()
    (train,) = [step for step in home.nights.steps(1) if step.name == "train:nightly"]
    assert train.attempts == 2
    assert "was ended by SIGKILL" in home.log.read_text()


def test_sigterm_ends_the_step_and_gives_the_night_back_for_the_next_scheduler(home: Home) -> None:
    process = home.start(TRAINS_FOR_EVER)
    home.ready(process)
    begun = home.command("nights", "run-now")
    assert (begun["status"], begun["state"]) == (0, "running")
    training = home.blocked()
    assert _stop(process) == 0
    assert not training.is_running()
    assert (home.last().state, home.last().holder) == (RunState.RUNNING, NOBODY)
    home.start(WELL)
    wait_until(lambda: home.last().state is RunState.SUCCEEDED, 60, "the next scheduler goes on")
    assert [(step.name, step.attempts) for step in home.nights.steps(1) if step.name.startswith("train")] == [
        ("train:nightly", 1)
    ]
    assert home.asked().count("services.training.checking") == 1


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_a_step_does_not_outlive_a_killed_scheduler(home: Home) -> None:
    process = home.start(TRAINS_FOR_EVER)
    home.ready(process)
    home.command("nights", "run-now")
    training = home.blocked()
    process.kill()
    process.wait()
    wait_until(lambda: not training.is_running() or training.status() == psutil.STATUS_ZOMBIE, what="training is gone")
    assert home.last().state is RunState.RUNNING  # until another scheduler takes it over


@pytest.mark.parametrize(
    ("variable", "value", "status", "sentence"),
    [
        ("NIGHTJAR_SCHEDULE__NIGHTLY_CRON", "every night", 2, "NIGHTJAR_SCHEDULE__NIGHTLY_CRON"),
        ("NIGHTJAR_DATABASE__URL", "mysql://host/db", 2, "NIGHTJAR_DATABASE__URL"),
        ("NIGHTJAR_DATABASE__URL", "postgresql://u:hunter2@127.0.0.1:9/none", 1, "cannot be used"),
    ],
)
def test_what_it_cannot_start_with_is_one_sentence_and_an_exit_code(
    tmp_path: Path, variable: str, value: str, status: int, sentence: str
) -> None:
    environment = {**os.environ, "NIGHTJAR_HOME": str(tmp_path), variable: value}
    command = [sys.executable, "-m", "scheduler", "--ready-file", str(tmp_path / "ready.json")]
    ended = subprocess.run(command, cwd=ROOT, env=environment, capture_output=True, text=True, timeout=60, check=False)
    assert ended.returncode == status, ended.stderr
    assert sentence in ended.stderr
    assert "Traceback" not in ended.stderr
    assert "hunter2" not in ended.stderr
    assert not (tmp_path / "ready.json").exists()
