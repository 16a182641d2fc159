"""Training by several processes of this machine, under torchrun: the library's own module, in our interpreter.

torchrun puts each worker into a session of its own, which the end of its group does not reach, and a worker that hangs
in a collective does not hear SIGTERM: so they are looked for while they live, and ended by us in the end.
"""

import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import psutil

from scheduler.chain import Work
from scheduler.children import Task, outcome
from services.children.groups import kill_group
from services.children.speaking import run_speaking

LOOK_S: Final = 1.0  # larger: a worker that began just before its end is missed; smaller: a walk through /proc each


def torchrun_command(task: Task, num_processes: int, python: str = sys.executable) -> list[str]:
    launcher = ("-m", "torch.distributed.run", "--standalone", "--nproc-per-node", str(num_processes))
    return [python, *launcher, "-m", task.module, *task.arguments]


@dataclass(frozen=True)
class TorchrunChildren:
    """Fulfils Children on this machine."""

    num_processes: int

    def run(self, task: Task, work: Work) -> Mapping[str, Any]:
        command = torchrun_command(task, self.num_processes)
        workers = _Workers(command)

        def keep_going() -> bool:
            going = work.keep_going()
            workers.look(at_once=not going)
            return going

        try:
            end = run_speaking(command, work.note, timeout_s=work.timeout_s, keep_going=keep_going)
        finally:
            workers.end()
        return outcome(end, work.timeout_s)


@dataclass
class _Workers:
    """The processes that a torchrun of this command started, as far as they were seen."""

    command: Sequence[str]
    seen: set[psutil.Process] = field(default_factory=set)
    looked_at: float = 0.0

    def look(self, *, at_once: bool) -> None:
        if not at_once and time.monotonic() - self.looked_at < LOOK_S:
            return
        self.looked_at = time.monotonic()
        for child in psutil.Process().children():
            try:
                if child.cmdline()[-len(self.command) + 1 :] == list(self.command[1:]):
                    self.seen.update(child.children())
            except psutil.Error:  # it ended meanwhile
                continue

    def end(self) -> None:
        """SIGKILL to the group that each worker leads. psutil knows a process from a later one of the same number."""
        for worker in self.seen:
            if worker.is_running():
                kill_group(worker.pid)
        psutil.wait_procs(list(self.seen), timeout=LOOK_S)
