"""Child processes that are never left behind: started in their own session, ended with their parent, stopped in time.

On Linux a child gets SIGTERM when its parent dies, even by SIGKILL (see `services.children.leash`). The signal
belongs to the parent *thread*, so every child is started by one thread that lives as long as this process.
"""

import contextlib
import subprocess
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path

import psutil

from deploy.embedded import logfiles
from services.children.groups import kill_group
from services.children.leash import leashed
from services.domain.errors import StartFailed

POLL_S = 0.05  # larger: a start is seen later; smaller: idle CPU
_SPAWNER = ThreadPoolExecutor(max_workers=1, thread_name_prefix="spawner")


@dataclass(frozen=True)
class Program:
    """What to run, how to tell that it is ready, and how long start and stop may take."""

    name: str
    command: Sequence[str]
    log: Path
    is_ready: Callable[[], bool]
    port: int | None = None
    environment: Mapping[str, str] | None = None
    """The whole environment; None: this process's own."""
    ready_file: Path | None = None
    """Removed before a start; its presence says that the process is ready."""
    outlives_us: bool = False
    """True for the supervisor in the background: it stays when the command that started it ends."""
    start_timeout_s: float = 60.0
    stop_timeout_s: float = 15.0


@dataclass(frozen=True)
class Identity:
    """A process as it can be found again: a pid alone may have been given to another since."""

    pid: int
    start_time: float
    """Seconds since the epoch, as the system tells it."""

    def process(self) -> psutil.Process | None:
        """The living process, or None when it is gone, a zombie, or another one has its pid."""
        try:
            process = psutil.Process(self.pid)
            # The start time is derived from the boot time, which moves when the clock is set.
            ours = abs(process.create_time() - self.start_time) < 2.0 and process.status() != psutil.STATUS_ZOMBIE
        except psutil.NoSuchProcess:
            return None
        return process if ours else None

    @classmethod
    def of(cls, pid: int) -> "Identity":
        return cls(pid, psutil.Process(pid).create_time())


@dataclass
class Child:
    """One running program."""

    program: Program
    popen: "subprocess.Popen[bytes]"
    identity: Identity
    started_at: float = field(default_factory=time.monotonic)

    def exit_status(self) -> int | None:
        """Negative: the signal that ended it. None: it runs."""
        return self.popen.poll()

    def is_ready(self) -> bool:
        return self.program.is_ready()

    def explain_death(self) -> StartFailed:
        """The error for a child that ended, or took too long, before it was ready."""
        status = self.exit_status()
        happened = (
            f"was not ready within {self.program.start_timeout_s:g} s"
            if status is None
            else f"ended with status {status} before it was ready"
        )
        tail = "".join(f"\n  {line}" for line in logfiles.last_lines(self.program.log))
        return StartFailed(f"{self.program.name} {happened}; its log is {self.program.log}{':' if tail else ''}{tail}")


def start(program: Program, register: Callable[[Child], None] | None = None) -> Child:
    """Starts a program and returns at once; raises StartFailed when it cannot be run at all.

    `register` is called before a Ctrl-C can get between the start and the caller.
    """
    return _SPAWNER.submit(_spawn, program, register).result()


def settle() -> None:
    """Blocks until every start under way has been registered."""
    _SPAWNER.submit(lambda: None).result()


def wait_until_ready(children: Sequence[Child], on_ready: Callable[[Child], None] | None = None) -> None:
    """Blocks until all are ready, in any order; raises StartFailed for the first that ended or took too long."""
    waiting = list(children)
    while waiting:
        for child in tuple(waiting):
            # Death first: the port of a child that could not have it may answer for another program.
            if child.exit_status() is not None:
                raise child.explain_death()
            if child.is_ready():
                waiting.remove(child)
                if on_ready is not None:
                    on_ready(child)
            elif time.monotonic() - child.started_at > child.program.start_timeout_s:
                raise child.explain_death()
        if waiting:
            time.sleep(POLL_S)


def stop(children: Sequence[Child]) -> None:
    """Stops all at the same time: SIGTERM, a bounded wait, then SIGKILL to what is left of each process group."""
    try:
        for child in children:
            if child.exit_status() is None:
                child.popen.terminate()
        deadline = time.monotonic() + max((child.program.stop_timeout_s for child in children), default=0.0)
        for child in children:
            with contextlib.suppress(subprocess.TimeoutExpired):
                child.popen.wait(max(0.0, deadline - time.monotonic()))
    finally:  # also when a second Ctrl-C cuts the wait short
        for child in children:
            kill_group(child.identity.pid)
            child.popen.wait()


def end(found: psutil.Process, timeout_s: float) -> None:
    """Ends a process that is not our child, and its group, as `stop` does."""
    with contextlib.suppress(psutil.NoSuchProcess):
        found.terminate()
        try:
            found.wait(timeout_s)
        except psutil.TimeoutExpired:
            kill_group(found.pid)
            found.kill()
            found.wait(timeout_s)


@contextlib.contextmanager
def running(program: Program) -> Iterator[Child]:
    """A program that is ready inside the block and gone after it."""
    child = start(program)
    try:
        wait_until_ready([child])
        yield child
    finally:
        stop([child])


def _spawn(program: Program, register: Callable[[Child], None] | None) -> Child:
    logfiles.trim(program.log)
    if program.ready_file is not None:
        program.ready_file.unlink(missing_ok=True)
    with logfiles.open_for_append(program.log) as log:
        try:
            popen = subprocess.Popen(
                list(program.command) if program.outlives_us else leashed(list(program.command)),
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env=None if program.environment is None else dict(program.environment),
                start_new_session=True,  # Ctrl-C in the terminal reaches the supervisor alone
            )
        except OSError as error:
            raise StartFailed(f"{program.name} cannot be run: {program.command[0]}: {error.strerror}") from error
    child = Child(program, popen, Identity.of(popen.pid))
    if register is not None:
        register(child)
    return child
