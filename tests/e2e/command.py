"""The `nightjar` command as people run it, on a home of its own, with a training small enough for tests."""

import os
import signal
import subprocess
import sys
from pathlib import Path

import psutil

TINY_TRAINING = {
    "NIGHTJAR_TRAIN__DIM": "32",
    "NIGHTJAR_TRAIN__NUM_BLOCKS": "1",
    "NIGHTJAR_TRAIN__MAX_HISTORY": "30",
    "NIGHTJAR_TRAIN__MAX_EPOCHS": "4",
    "NIGHTJAR_LOG_LEVEL": "info",
}


class Nightjar:
    """Runs `nightjar` in a home."""

    def __init__(self, home: Path) -> None:
        self.home = home
        inherited = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
        self.environment = (
            inherited
            | TINY_TRAINING
            | {"NIGHTJAR_HOME": str(home), "NIGHTJAR_SERVE__PORT": "0", "NIGHTJAR_GATEWAY__PORT": "0"}
        )

    def command(self, *arguments: str) -> list[str]:
        return [sys.executable, "-m", "services.cli.main", *arguments]

    def run(self, *arguments: str, timeout_s: float = 110) -> "subprocess.CompletedProcess[str]":
        return subprocess.run(
            self.command(*arguments),
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=timeout_s,
            check=False,
        )

    def start(self, *arguments: str) -> "subprocess.Popen[str]":
        return subprocess.Popen(
            self.command(*arguments),
            env=self.environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def processes(self) -> list[str]:
        """Command lines of the living processes that belong to this home."""
        found = []
        for process in psutil.process_iter():
            try:
                if process.status() == psutil.STATUS_ZOMBIE:
                    continue
                command = " ".join(process.cmdline())
                if str(self.home) in command or process.environ().get("NIGHTJAR_HOME") == str(self.home):
                    found.append(f"{process.pid} {command}")
            except psutil.Error:
                continue
        return found

    def end(self) -> None:
        """Ends whatever a failed test left running."""
        for line in self.processes():
            try:
                os.kill(int(line.partition(" ")[0]), signal.SIGKILL)
            except ProcessLookupError:
                continue
