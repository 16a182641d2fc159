"""Steps as processes that begin with everything imported: a month of nights in the time that its imports would take.

A server that has loaded the libraries forks for each task; the child is a process of its own all the same, and runs the
module as `python -m` does.
"""

import json
import multiprocessing
import os
import runpy
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from scheduler.chain import PERMANENT, StepFailed, Work
from scheduler.children import Task

PRELOADED = [
    "services.training.__main__",
    "services.training.wiring",
    "services.training.judging.__main__",
    "services.training.judging.wiring",
    "services.training.checking.__main__",
    "services.training.checking.wiring",
    "services.inference.planning.__main__",
    "services.inference.planning.wiring",
]


class ForkedChildren:
    """Fulfils Children for tests. `folder`: for what the tasks say; `environment`: of each of them."""

    def __init__(self, folder: Path, environment: Mapping[str, str]) -> None:
        self._folder = folder
        self._environment = dict(environment)
        self.poison: Callable[[], None] | None = None
        """Called in the process of a training before it begins."""
        self._context = multiprocessing.get_context("forkserver")
        self._context.set_forkserver_preload(PRELOADED)

    def run(self, task: Task, work: Work) -> Mapping[str, Any]:
        said = self._folder / f"{task.module}.jsonl"
        arguments = [task.module, *task.arguments]
        poison = self.poison if task.module == "services.training" else None
        process = self._context.Process(target=_run, args=(arguments, self._environment, str(said), poison))
        process.start()
        process.join(work.timeout_s)
        if process.exitcode is None:
            process.kill()
            process.join()
        lines = [json.loads(line) for line in said.read_text().splitlines()]
        for line in lines:
            work.note(line)
        last = lines[-1] if lines else {}
        if process.exitcode or last.get("event") != "done":
            message = last.get("message", f"status {process.exitcode}, see {said}.log")
            raise StepFailed(str(message), retry=last.get("reason") not in PERMANENT)
        return last


def _run(arguments: list[str], environment: Mapping[str, str], said: str, poison: Callable[[], None] | None) -> None:
    os.environ.update(environment)
    if poison is not None:
        poison()
    sys.argv = arguments
    with Path(said).open("w", buffering=1) as out, Path(f"{said}.log").open("a", buffering=1) as log:
        sys.stdout, sys.stderr = out, log
        os.dup2(log.fileno(), 2)
        try:
            runpy.run_module(arguments[0], run_name="__main__", alter_sys=True)
        finally:
            out.flush()
