"""The parent of the worker processes: starts them, starts a dead one anew, and ends them all.

Between parent and worker there is one socket pair. The worker writes one byte when it listens; either side sees the
other's death as the end of the stream. The parent does no serving itself, so nothing a request does can end it.
"""

import asyncio
import socket
import sys
import time
from asyncio.subprocess import Process
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Final

import structlog

from services.domain.errors import StartFailed

log = structlog.get_logger(__name__)

FIRST_PAUSE_S: Final = 0.2  # larger: a single crash costs capacity for longer; smaller: a crash loop burns a core
LONGEST_PAUSE_S: Final = 10.0  # larger: slow to come back once the cause is gone; smaller: as above
STABLE_S: Final = 30.0  # a worker that lived longer died of something new, so the pause starts over
KILL_GRACE_S: Final = 3.0  # beyond the drain: what a worker needs to close its connections before it is killed


@dataclass(frozen=True)
class Worker:
    """One running worker process and the parent's end of its socket pair."""

    process: Process
    channel: socket.socket

    @classmethod
    async def start(cls, command: Sequence[str]) -> "Worker":
        """Starts `command --channel FD` in a process group of its own: Ctrl-C reaches the parent alone."""
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                *command, "--channel", str(theirs.fileno()), pass_fds=[theirs.fileno()], process_group=0
            )
        return cls(process, ours)

    async def listens(self) -> bool:
        """Waits for the word that it listens; False when it died before."""
        return bool(await asyncio.get_running_loop().sock_recv(self.channel, 1))


class Supervisor:
    """Keeps `num_workers` processes of one command running. on_ready is called once, when all listen."""

    def __init__(self, command: Sequence[str], num_workers: int, drain_s: float, on_ready: Callable[[], None]) -> None:
        self._command = command
        self._num_workers = num_workers
        self._drain_s = drain_s
        self._on_ready = on_ready
        self._workers: dict[int, Worker] = {}
        self._listening: set[int] = set()

    async def run(self, stop: asyncio.Event) -> None:
        """Returns when `stop` is set and every worker has ended; raises StartFailed when one cannot start at all."""
        stopped = asyncio.create_task(stop.wait())
        keepers = [asyncio.create_task(self._keep_running(number)) for number in range(self._num_workers)]
        try:
            await asyncio.wait([stopped, *keepers], return_when=asyncio.FIRST_COMPLETED)
            for keeper in keepers:
                if keeper.done():
                    keeper.result()
        finally:
            for task in (stopped, *keepers):
                task.cancel()
            await asyncio.gather(stopped, *keepers, return_exceptions=True)
            await asyncio.gather(*(self._end(worker) for worker in self._workers.values()))

    async def _keep_running(self, number: int) -> None:
        pause_s = FIRST_PAUSE_S
        ever_listened = False
        while True:
            start = time.monotonic()
            worker = self._workers[number] = await Worker.start(self._command)
            if await worker.listens():
                ever_listened = True
                self._is_listening(number)
            status = await worker.process.wait()
            worker.channel.close()
            if not ever_listened:
                raise StartFailed(f"A serving worker ended with status {status} before it listened; see the log above.")
            pause_s = FIRST_PAUSE_S if time.monotonic() - start > STABLE_S else min(pause_s * 2, LONGEST_PAUSE_S)
            log.error("worker_died", worker=number, status=status, restart_s=pause_s)
            await asyncio.sleep(pause_s)

    def _is_listening(self, number: int) -> None:
        all_before = len(self._listening) == self._num_workers
        self._listening.add(number)
        if len(self._listening) == self._num_workers and not all_before:
            self._on_ready()

    async def _end(self, worker: Worker) -> None:
        """SIGTERM, time to drain, then SIGKILL."""
        process = worker.process
        if process.returncode is None:
            process.terminate()
            try:
                await asyncio.wait_for(process.wait(), self._drain_s + KILL_GRACE_S)
            except TimeoutError:
                log.error("worker_killed", pid=process.pid)
                process.kill()
                await process.wait()
        worker.channel.close()


def worker_command(host: str, port: int) -> list[str]:
    """A fresh interpreter, never a fork: a forked gRPC or ONNX Runtime holds locks that nobody opens."""
    return [sys.executable, "-m", "services.inference.worker", "--host", host, "--port", str(port)]
