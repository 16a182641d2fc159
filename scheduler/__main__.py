"""`python -m scheduler [--ready-file PATH]`: starts nights when they are due, until SIGTERM."""

import argparse
import os
import sys
import threading
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Final

import structlog

from scheduler import timetable
from scheduler.wiring import TRAINING, SchedulerProcess, scheduler_process
from services import process
from services.domain.errors import InvalidSettings, NightjarError
from services.ready_file import ReadyFile
from services.settings import Settings, load

TICK_S: Final = 1.0  # larger: a night asked for by another process starts later; smaller: idle queries
SWEEP_S: Final = 10.0  # larger: a crashed run looks alive longer; smaller: idle queries

log = structlog.get_logger(__name__)


def run(settings: Settings, ready_file: Path | None, training: Sequence[str] = TRAINING) -> None:
    """Blocks until SIGTERM or SIGINT; a night that is running then is ended and recorded. Raises CatalogDown."""
    process.begin("scheduler", settings)
    stopping = process.stop_on_signals()
    with ReadyFile(ready_file) as ready, scheduler_process(settings, stopping, training) as parts:
        next_time = parts.timetable.get_job(timetable.NIGHTLY).next_run_time.isoformat()
        ready.announce(pid=os.getpid(), next_run_time=next_time)
        try:
            _serve(parts, stopping)
        finally:
            stopping.set()
    log.info("scheduler_stopped")


def _serve(parts: SchedulerProcess, stopping: threading.Event) -> None:
    next_sweep = 0.0
    while not stopping.is_set():
        parts.timetable.tick()
        if time.monotonic() >= next_sweep:
            next_sweep = time.monotonic() + SWEEP_S
            parts.night.sweep()
        stopping.wait(TICK_S)


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scheduler", description="Starts the nightly runs.")
    parser.add_argument("--ready-file", type=Path, help="a line of JSON, there while it is ready")
    arguments = parser.parse_args()
    try:
        run(load(), arguments.ready_file)
    except NightjarError as error:
        sys.stderr.write(f"nightjar: {error}\n")
        return 2 if isinstance(error, InvalidSettings) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
