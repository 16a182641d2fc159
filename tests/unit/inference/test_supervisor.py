"""The supervisor with workers of a few lines instead of serving ones: real processes, started in milliseconds."""

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from pathlib import Path

import psutil
import pytest

from services.domain.errors import StartFailed
from services.inference.supervisor import Supervisor

LISTENS = """
import os, socket, sys
channel = socket.socket(fileno=int(sys.argv[sys.argv.index("--channel") + 1]))
open(os.path.join(sys.argv[1], str(os.getpid())), "w").close()
channel.send(b"\\n")
"""
WAITS_FOR_THE_PARENT = LISTENS + "channel.recv(1)"
IGNORES_SIGTERM = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN)\n" + WAITS_FOR_THE_PARENT
ENDS_AT_ONCE = "import sys; sys.exit(7)"


class Bench:
    """A supervisor of two workers. Each worker that listens leaves a file named by its process id."""

    def __init__(self, folder: Path, script: str, drain_s: float = 5) -> None:
        self._folder = folder
        self.ready = asyncio.Event()
        self.num_ready = 0
        self.stop = asyncio.Event()
        command = [sys.executable, "-I", "-S", "-c", script, str(folder)]
        self.supervisor = Supervisor(command, 2, drain_s, self._is_ready)

    def pids(self) -> set[int]:
        """Of all workers that ever listened."""
        return {int(path.name) for path in self._folder.iterdir()}

    async def run(self, steps: Callable[[], Awaitable[None]]) -> None:
        """Runs the supervisor beside some steps, then stops it."""
        async with asyncio.timeout(30):
            running = asyncio.create_task(self.supervisor.run(self.stop))
            await self.ready.wait()
            await steps()
            self.stop.set()
            await running

    def _is_ready(self) -> None:
        self.num_ready += 1
        self.ready.set()


async def nothing() -> None:
    """No steps: stopped as soon as it is ready."""


async def test_it_is_ready_when_every_worker_listens_and_leaves_none_behind(tmp_path: Path) -> None:
    bench = Bench(tmp_path, WAITS_FOR_THE_PARENT)
    await bench.run(nothing)
    assert bench.num_ready == 1
    assert len(bench.pids()) == 2
    assert not any(psutil.pid_exists(pid) for pid in bench.pids())


async def test_a_dead_worker_is_started_anew_and_ready_is_said_once(tmp_path: Path) -> None:
    bench = Bench(tmp_path, WAITS_FOR_THE_PARENT)

    async def kill_one() -> None:
        first = bench.pids()
        os.kill(min(first), signal.SIGKILL)
        while len(bench.pids()) < 3:  # noqa: ASYNC110 - another process makes it true
            await asyncio.sleep(0.01)

    await bench.run(kill_one)
    assert bench.num_ready == 1
    assert not any(psutil.pid_exists(pid) for pid in bench.pids())


async def test_a_worker_that_cannot_start_ends_the_start(tmp_path: Path) -> None:
    bench = Bench(tmp_path, ENDS_AT_ONCE)
    with pytest.raises(StartFailed, match="status 7"):
        await bench.supervisor.run(bench.stop)


async def test_a_worker_that_does_not_drain_is_killed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("services.inference.supervisor.KILL_GRACE_S", 0.1)
    bench = Bench(tmp_path, IGNORES_SIGTERM, drain_s=0.1)
    await bench.run(nothing)
    assert not any(psutil.pid_exists(pid) for pid in bench.pids())


async def test_a_stop_during_the_start_leaves_none_behind(tmp_path: Path) -> None:
    bench = Bench(tmp_path, WAITS_FOR_THE_PARENT)
    bench.stop.set()
    children = psutil.Process().children
    before = {child.pid for child in children()}
    await bench.supervisor.run(bench.stop)
    assert {child.pid for child in children()} == before
