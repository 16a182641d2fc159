"""Training as a separate process: started in its own group, listened to, and ended with everything it started.

The child speaks JSON lines on standard output; the last is {"event": "done", "version": ...} or {"event": "failed",
"message": ...}, the others are progress.
Its standard error is passed on to ours. On Linux it ends when the scheduler does, even by SIGKILL (see `tether`).
"""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, Final

import structlog

from scheduler.nightly import Outcome, TrainingEnd
from services.domain.ids import ModelVersion

TICK_S: Final = 0.2  # larger: the end is seen later; smaller: idle CPU
GRACE_S: Final = 5.0  # larger: the scheduler itself is slow to stop; smaller: training cannot clean up
MAX_DETAIL: Final = 500  # larger: a traceback in a table; smaller: half a sentence
TETHER: Final = Path(__file__).with_name("tether.py")

log = structlog.get_logger(__name__)


class TrainingProcess:
    """Fulfils TrainingLauncher: runs `command`, for at most `timeout_s` seconds."""

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._command = list(command)
        self._timeout_s = timeout_s

    def run(self, keep_going: Callable[[], bool]) -> TrainingEnd:
        try:
            process = subprocess.Popen(
                _tethered(self._command),
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.PIPE,
                encoding="utf-8",
                errors="replace",
                start_new_session=True,
            )
        except OSError as error:
            return TrainingEnd(Outcome.FAILED, detail=f"{self._command[0]} cannot be started: {error.strerror}.")
        log.info("training_started", pid=process.pid, command=self._command)
        listener = _Listener(process)
        try:
            outcome = self._wait(process, keep_going)
        finally:
            _end_group(process)
            listener.join()
        if outcome is Outcome.TIMED_OUT:
            return TrainingEnd(outcome, detail=f"Training took longer than {self._timeout_s:g} s and was ended.")
        if outcome is Outcome.STOPPED:
            return TrainingEnd(outcome, detail="Training was ended because the scheduler stopped or lost its lease.")
        return listener.end(process.returncode)

    def _wait(self, process: "subprocess.Popen[str]", keep_going: Callable[[], bool]) -> Outcome:
        deadline = time.monotonic() + self._timeout_s
        while True:
            with suppress(subprocess.TimeoutExpired):
                process.wait(TICK_S)
                return Outcome.COMPLETED
            if time.monotonic() >= deadline:
                return Outcome.TIMED_OUT
            if not keep_going():
                return Outcome.STOPPED


class _Listener:
    """Reads both pipes to their ends, so that the child never waits for us, and remembers the last words."""

    def __init__(self, process: "subprocess.Popen[str]") -> None:
        self._last_line: dict[str, Any] = {}
        self._last_words = ""
        pipes = ((self._hear, process.stdout), (self._pass_on, process.stderr))
        self._threads = [threading.Thread(target=listen, args=(pipe,), daemon=True) for listen, pipe in pipes]
        for thread in self._threads:
            thread.start()

    def join(self) -> None:
        """Bounded: a grandchild that left the group may hold a pipe open for ever."""
        for thread in self._threads:
            thread.join(GRACE_S)

    def end(self, status: int) -> TrainingEnd:
        """What an exit status and the lines heard add up to."""
        version = self._last_line.get("version")
        if status == 0 and self._last_line.get("event") == "done" and isinstance(version, str):
            return TrainingEnd(Outcome.COMPLETED, version=ModelVersion(version))
        if status == 0:
            problem = "Training ended without naming the version it made."
        elif status < 0:
            problem = f"Training was ended by {signal.Signals(-status).name}; SIGKILL often means out of memory."
        elif self._last_line.get("event") == "failed":
            problem = str(self._last_line.get("message"))
        else:
            problem = f"Training failed with exit status {status}: {self._last_words or 'it said nothing'}"
        return TrainingEnd(Outcome.FAILED, detail=problem[:MAX_DETAIL])

    def _hear(self, pipe: IO[str]) -> None:
        for line in pipe:
            try:
                said = json.loads(line)
            except ValueError:
                said = line.strip()
            log.info("training_progress", progress=said)
            self._last_line = said if isinstance(said, dict) else {}

    def _pass_on(self, pipe: IO[str]) -> None:
        for line in pipe:
            sys.stderr.write(line)
            self._last_words = line.strip() or self._last_words


def _tethered(command: list[str]) -> list[str]:
    if sys.platform != "linux":
        return command
    # The tether is to the thread that starts the child: here the one that waits for its end.
    return [sys.executable, "-I", "-S", str(TETHER), str(os.getpid()), *command]


def _end_group(process: "subprocess.Popen[str]") -> None:
    """Ends the process, politely first, and then whatever else is left of its group."""
    if process.poll() is None:
        _signal_group(process, signal.SIGTERM)
        with suppress(subprocess.TimeoutExpired):
            process.wait(GRACE_S)
    _signal_group(process, signal.SIGKILL)
    process.wait()


def _signal_group(process: "subprocess.Popen[str]", number: signal.Signals) -> None:
    with suppress(ProcessLookupError, PermissionError):  # nobody left; macOS says PermissionError of zombies
        os.killpg(process.pid, number)
