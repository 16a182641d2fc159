"""`python -m scheduler [--ready-file PATH]`: starts nights when they are due, until SIGTERM."""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from scheduler import timetable
from scheduler.wiring import TRAINING, SchedulerParts, scheduler_process
from services import logs
from services.domain.errors import CatalogDown, InvalidSettings, NightjarError
from services.settings import Settings, load

TICK_S: Final = 1.0  # larger: a night asked for by another process starts later; smaller: idle queries
SWEEP_S: Final = 10.0  # larger: a crashed run looks alive longer; smaller: idle queries

log = structlog.get_logger(__name__)


def run(settings: Settings, ready_file: Path | None, training: Sequence[str] = TRAINING) -> None:
    """Blocks until SIGTERM or SIGINT; a night that is running then is ended and recorded. Raises CatalogDown."""
    stopping = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stopping.set())
    with _announced(ready_file) as announce, scheduler_process(settings, stopping, training) as parts:
        next_time = parts.timetable.get_job(timetable.NIGHTLY).next_run_time.isoformat()
        log.info("scheduler_ready", next_run_time=next_time, settings=settings.model_dump(mode="json"))
        announce({"pid": os.getpid(), "next_run_time": next_time})
        try:
            _serve(parts, stopping)
        finally:
            stopping.set()
    log.info("scheduler_stopped")


def _serve(parts: SchedulerParts, stopping: threading.Event) -> None:
    next_sweep = 0.0
    while not stopping.is_set():
        parts.timetable.tick()
        if time.monotonic() >= next_sweep:
            next_sweep = time.monotonic() + SWEEP_S
            _sweep(parts)
        stopping.wait(TICK_S)


def _sweep(parts: SchedulerParts) -> None:
    try:
        for abandoned in parts.runs.fail_abandoned():
            log.warning("run_abandoned", run_id=abandoned.run_id, start_time=abandoned.start_time.isoformat())
    except CatalogDown as error:
        log.warning("catalog_down", error=str(error))


@contextmanager
def _announced(path: Path | None) -> Iterator[Callable[[Mapping[str, object]], None]]:
    """A way to write the ready file, whole or not at all; it is gone before and after, so that it never lies."""

    def write(content: Mapping[str, object]) -> None:
        if path is not None:
            path.parent.mkdir(parents=True, exist_ok=True)
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            draft.write_text(json.dumps(content) + "\n", encoding="utf-8")
            draft.replace(path)

    def forget() -> None:
        if path is not None:
            path.unlink(missing_ok=True)

    forget()
    try:
        yield write
    finally:
        forget()


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m scheduler", description="Starts the nightly runs.")
    parser.add_argument("--ready-file", type=Path, help="where to write a line of JSON once it is ready")
    arguments = parser.parse_args()
    try:
        settings = load()
        logs.configure(settings.log_level, "scheduler")
        run(settings, arguments.ready_file)
    except NightjarError as error:
        sys.stderr.write(f"nightjar: {error}\n")
        return 2 if isinstance(error, InvalidSettings) else 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
