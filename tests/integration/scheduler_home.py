"""The real scheduler process under test, with scripts in the place of what its steps would compute."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import psutil

from services.adapters.delta_log import DeltaEventLog
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.model_registry import SqlModelRegistry
from services.adapters.sql.night_book import SqlNightBook
from services.adapters.sql.run_book import SqlRunBook
from services.domain.clock import SystemClock
from services.domain.runs import Run
from services.domain.streams import LogBatch
from tests.fakes.planted import planted_events
from tests.waiting import wait_until

ROOT = Path(__file__).parents[2]
LEASE_S = 5.0
# The real process. If it dies, then once in each step: when the work is done, and not yet recorded.
SCHEDULER = """
import os, pathlib, signal, sys
from scheduler import __main__ as main, wiring
from scheduler.children import LocalChildren
from services import lease
from services.adapters.sql.night_book import SqlNightBook
from services.settings import load
ready_file, script, marks = sys.argv[1:4]

class DyingBook(SqlNightBook):
    def end(self, run, name, state, **ending):
        mark = pathlib.Path(marks, name.replace(":", "-"))
        if not mark.exists():
            mark.touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return super().end(run, name, state, **ending)

if marks:
    wiring.SqlNightBook = DyingBook
# So that a dead scheduler is found out in seconds. Where there are two, a busy one must not look dead.
wiring.SqlRunBook.__init__.__defaults__ = (1.0 if marks else LEASE_S,)
lease.KEEP_ALIVE_S, main.SWEEP_S = 0.3, 0.5
children = LocalChildren(lambda task: [sys.executable, script, task.module, *task.arguments])
main.run(load(), pathlib.Path(ready_file), children)
"""
SCHEDULER = SCHEDULER.replace("LEASE_S", str(LEASE_S))
# What each module says instead of computing, and a line in children.log for each time it was asked.
CHILD = """
import json, os, pathlib, sys
module, *arguments = sys.argv[1:]
home = pathlib.Path(os.environ["NIGHTJAR_HOME"])
with (home / "children.log").open("a") as log:
    log.write(module + "\\n")

def say(**line):
    print(json.dumps(line), flush=True)

GOOD = {"ndcg_gain_at_10": .03, "ndcg_gain_at_10_low": .02, "ndcg_gain_at_10_high": .04, "num_holdout_users": 80.0,
        "coverage_at_10": .5, "gini_at_10": .9, "num_bad_vectors": 0.0, "ndcg_at_10": .1}

def train():
    from datetime import datetime, UTC
    import numpy as np
    from services.adapters.bundle_folder import FolderBundleStore
    from services.domain.bundles import MANIFEST, sha256_of
    from services.domain.ids import ModelVersion
    from services.domain.models import Model
    from services.registry.wiring import open_registry
    from services.settings import load
    from tests.fakes.tiny_bundle import write_draft
    origin = arguments[arguments.index("--origin") + 1]
    version = origin.replace("/", "-")
    settings, draft = load(), home / f"draft-{version}-{os.getpid()}"
    manifest = write_draft(draft, version, vectors=np.eye(6, 4, dtype=np.float32))
    store = FolderBundleStore(settings.bundle_folder)
    location = store.publish(draft, manifest)
    digest = sha256_of(store.fetch(location) / MANIFEST)
    model = Model(ModelVersion(version), manifest.kind, datetime.now(UTC), location, digest, 0, GOOD, origin=origin)
    open_registry(settings).register(model)
    say(event="done", version=version)

def check(passed=True):
    finding = {"rule": "volume", "figure": .5, "passed": passed, "sentence": "Half of the usual events came."}
    say(event="done", passed=passed, findings=[finding], num_events=10)

def judge():
    versions = arguments[arguments.index("--challengers") + 1 : arguments.index("--out")]
    champion = None
    say(event="done", figures={version: GOOD for version in versions}, champion=champion, num_questions=10)

def plan():
    say(event="done", plan="float32, exact", figures={version: PLANNED for version in arguments})

PLANNED = {"plan_p99_ms": 1.0, "index_recall_at_10": 1.0}
MODULES = {"services.training": train, "services.training.checking": check, "services.training.judging": judge,
           "services.inference.planning": plan}
"""
WELL = """
MODULES[module]()
"""
CLI = "import sys; from services.cli.main import run; run(sys.argv[1:])"


class Home:
    """A home folder, its environment, and the processes a test starts in it."""

    def __init__(self, folder: Path, database_url: str) -> None:
        self.folder = folder
        self.ready_file = folder / "run" / "scheduler.json"
        self.log = folder / "scheduler.log"
        clean = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
        own = {
            "NIGHTJAR_HOME": str(folder),
            "NIGHTJAR_DATABASE__URL": database_url,
            "NIGHTJAR_NIGHT__RETRY_PAUSE_S": "0",
        }
        self.environment = {**clean, **own, "PYTHONPATH": str(ROOT)}
        upgrade(database_url)
        engine = connect(database_url)
        self.runs = SqlRunBook(engine, SystemClock())
        self.nights = SqlNightBook(engine, SystemClock())
        self.registry = SqlModelRegistry(engine, SystemClock())
        self.started: list[subprocess.Popen[bytes]] = []
        (folder / "marks").mkdir()
        self.ready_file.parent.mkdir()

    def fill_log(self) -> None:
        """Puts some events into the log, for a night to pin."""
        DeltaEventLog(self.folder / "log" / "events").append(LogBatch(planted_events(5, 5)))

    def start(self, script: str, *, dies: bool = False) -> "subprocess.Popen[bytes]":
        """A scheduler whose steps run CHILD and then this; dies: once in every step of the home's nights."""
        path = self.folder / "child.py"
        path.write_text(CHILD + script)
        self.ready_file.unlink(missing_ok=True)
        with self.log.open("ab") as log:
            process = subprocess.Popen(
                [
                    sys.executable,
                    "-c",
                    SCHEDULER,
                    str(self.ready_file),
                    str(path),
                    str(self.folder / "marks") if dies else "",
                ],
                cwd=ROOT,
                env=self.environment,
                stderr=log,
            )
        self.started.append(process)
        return process

    def ready(self, process: "subprocess.Popen[bytes]") -> None:
        wait_until(lambda: self.ready_file.exists() or process.poll() is not None, 60, "the scheduler is ready")
        assert process.poll() is None, self.log.read_text()

    def blocked(self) -> psutil.Process:
        """The child that wrote its pid into `blocked.pid`, once it runs."""
        file = self.folder / "blocked.pid"
        return psutil.Process(int(wait_until(lambda: file.exists() and file.read_text(), what="a child runs")))

    def last(self) -> Run:
        return self.runs.newest(1, "night")[0]

    def asked(self) -> list[str]:
        """The modules that were run, in order."""
        return (self.folder / "children.log").read_text().split()

    def command(self, *arguments: str) -> Mapping[str, Any]:
        """What a `nightjar` command prints as JSON, with its exit code as `status`."""
        ended = self.run(*arguments, "--json")
        assert ended.stdout, ended.stderr
        return {**json.loads(ended.stdout), "status": ended.returncode}

    def run(self, *arguments: str) -> "subprocess.CompletedProcess[str]":
        command = [sys.executable, "-c", CLI, *arguments]
        return subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, timeout=90, check=False
        )

    def end_all(self) -> None:
        for process in self.started:
            if process.poll() is None:
                process.kill()
                process.wait()
