"""The scheduler as a process: it says when it is ready, runs nights that are asked for, and stops cleanly."""

import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from typing import Any

import psutil
import pytest

from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.model_registry import SqlModelRegistry
from services.adapters.sql.run_book import SqlRunBook
from services.domain.clock import SystemClock
from services.domain.runs import RunState
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
# The real process, but for the training command, which a test replaces by a small script.
SCHEDULER = """
import pathlib, sys
from scheduler.__main__ import run
from services.settings import load
run(load(), pathlib.Path(sys.argv[1]), [sys.executable, sys.argv[2]])
"""
CLI = "import sys; from services.cli.schedule import app; app(sys.argv[1:], standalone_mode=True)"
REGISTERS_A_MODEL = """
import json
from datetime import datetime, UTC
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.registry.wiring import open_registry
from services.settings import load
metrics = {"ndcg_gain_at_10_low": 0.02, "num_holdout_users": 80.0, "coverage_at_10": 0.5, "num_bad_vectors": 0.0}
model = Model(ModelVersion("tonight"), "popularity", datetime.now(UTC), "/bundles/tonight", "0" * 64, 3, metrics)
open_registry(load()).register(model)
print(json.dumps({"event": "done", "version": "tonight"}))
"""
TRAINS_FOR_EVER = """
import pathlib, os, time
pathlib.Path(os.environ["NIGHTJAR_HOME"], "training.pid").write_text(str(os.getpid()))
time.sleep(600)
"""


class Home:
    """A home folder, its environment, and the processes a test starts in it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.ready_file = folder / "run" / "scheduler.json"
        self.log = folder / "scheduler.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
        self.environment = {**clean, "NIGHTJAR_HOME": str(folder), "NIGHTJAR_DATABASE__URL": database_url}
        upgrade(database_url)
        engine = connect(database_url)
        self.runs = SqlRunBook(engine, SystemClock())
        self.registry = SqlModelRegistry(engine, SystemClock())

    def start(self, training: str) -> "subprocess.Popen[bytes]":
        script = self.folder / "training.py"
        script.write_text(training)
        self.ready_file.parent.mkdir()
        with self.log.open("wb") as log:
            process = subprocess.Popen(
                [sys.executable, "-c", SCHEDULER, str(self.ready_file), str(script)],
                cwd=ROOT,
                env=self.environment | {"PYTHONPATH": str(ROOT)},
                stderr=log,
            )
        wait_until(lambda: self.ready_file.exists() or process.poll() is not None, 60, "the scheduler is ready")
        assert process.poll() is None, self.log.read_text()
        return process

    def training(self) -> psutil.Process:
        """The process of TRAINS_FOR_EVER, once it runs."""
        pid_file = self.folder / "training.pid"
        return psutil.Process(int(wait_until(lambda: pid_file.exists() and pid_file.read_text(), what="training runs")))

    def command(self, *arguments: str) -> Mapping[str, Any]:
        """What a `nightjar schedule` command prints as JSON, with its exit code as `status`."""
        command = [sys.executable, "-c", CLI, *arguments, "--json"]
        ended = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )
        assert ended.stdout, ended.stderr
        return {**json.loads(ended.stdout), "status": ended.returncode}


@pytest.fixture
def home(tmp_path: Path) -> Home:
    """On SQLite; what the database must do for the scheduler is tested on both by the suites of its parts."""
    return Home(tmp_path, f"sqlite:///{tmp_path / 'catalog.db'}")


@pytest.fixture
def start(home: Home) -> Iterator[Callable[[str], "subprocess.Popen[bytes]"]]:
    """Starts the scheduler; whatever a failed test leaves running is ended."""
    started: list[subprocess.Popen[bytes]] = []

    def start_one(training: str) -> "subprocess.Popen[bytes]":
        started.append(home.start(training))
        return started[-1]

    yield start_one
    for process in started:
        if process.poll() is None:
            process.kill()
            process.wait()


def _stop(process: "subprocess.Popen[bytes]") -> int:
    process.send_signal(signal.SIGTERM)
    return process.wait(30)


def test_a_night_asked_for_trains_judges_and_goes_live(
    home: Home, start: Callable[[str], "subprocess.Popen[bytes]"]
) -> None:
    process = start(REGISTERS_A_MODEL)
    assert json.loads(home.ready_file.read_text())["pid"] == process.pid
    run = home.command("run-now", "--wait")
    assert (run["status"], run["state"], run["version"]) == (0, "succeeded", "tonight"), home.log.read_text()
    live = home.registry.live()
    assert live is not None
    assert (live.version, live.actor) == ("tonight", "scheduler")
    listed = home.command("list")
    assert listed["next_run_time"].endswith("T02:00:00+00:00")
    assert [each["run_id"] for each in listed["runs"]] == [run["run_id"]]
    assert _stop(process) == 0


def test_sigterm_ends_a_night_with_its_training_and_records_it(
    home: Home, start: Callable[[str], "subprocess.Popen[bytes]"]
) -> None:
    process = start(TRAINS_FOR_EVER)
    begun = home.command("run-now")
    assert (begun["status"], begun["state"]) == (0, "running")
    training = home.training()
    assert _stop(process) == 0
    assert not training.is_running()
    (run,) = home.runs.newest(10)
    assert run.state is RunState.FAILED
    assert "scheduler stopped" in run.detail


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux tells a process that its parent died")
def test_training_does_not_outlive_a_killed_scheduler(
    home: Home, start: Callable[[str], "subprocess.Popen[bytes]"]
) -> None:
    process = start(TRAINS_FOR_EVER)
    home.command("run-now")
    training = home.training()
    process.kill()
    process.wait()
    wait_until(lambda: not training.is_running() or training.status() == psutil.STATUS_ZOMBIE, what="training is gone")
    assert home.runs.newest(1)[0].state is RunState.RUNNING  # until its lease runs out


@pytest.mark.parametrize(
    ("variable", "value", "status", "sentence"),
    [
        ("NIGHTJAR_SCHEDULE__NIGHTLY_CRON", "every night", 2, "NIGHTJAR_SCHEDULE__NIGHTLY_CRON"),
        ("NIGHTJAR_DATABASE__URL", "mysql://host/db", 2, "NIGHTJAR_DATABASE__URL"),
        ("NIGHTJAR_DATABASE__URL", "postgresql://u:secret@127.0.0.1:9/none", 1, "cannot be used"),
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
    assert "secret" not in ended.stderr
    assert not (tmp_path / "ready.json").exists()
