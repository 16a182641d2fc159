"""`python -m scheduler [--ready-file PATH]`: starts nights when they are due, and goes on with what was left."""

import argparse
import os
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Final

import structlog

from scheduler.children import Children
from scheduler.night import Night
from scheduler.rpc.serving import served
from scheduler.wiring import scheduler_process
from services import process
from services.domain.errors import InvalidSettings, NightjarError
from services.ready_file import ReadyFile
from services.settings import Settings, load

TICK_S: Final = 1.0  # larger: a night asked for by another process starts later; smaller: idle queries
SWEEP_S: Final = 10.0  # larger: a night is gone on with later after a crash; smaller: an outage looks like one

log = structlog.get_logger(__name__)


def run(settings: Settings, ready_file: Path | None, children: Children | None = None) -> None:
    """Blocks until SIGTERM or SIGINT; a night that runs then is given back, for the next scheduler to go on with.

    Raises CatalogDown, and PortInUse for the port of ScheduleService.
    """
    process.begin("scheduler", settings)
    stopping = process.stop_on_signals()
    with ReadyFile(ready_file) as ready, scheduler_process(settings, stopping, children) as parts:
        next_time = parts.desk.planned().next_time
        next_run_time = None if next_time is None else next_time.isoformat()
        with _sweeping(parts.night, stopping), served(parts.desk, settings.schedule) as port:
            try:
                ready.announce(pid=os.getpid(), next_run_time=next_run_time, port=port)
                while not stopping.is_set():
                    parts.timetable.tick()
                    stopping.wait(TICK_S)
            finally:
                stopping.set()
    log.info("scheduler_stopped")


@contextmanager
def _sweeping(night: Night, stopping: threading.Event) -> Iterator[None]:
    """Looks for nights that were left off, in a thread: going on with one takes as long as it takes."""

    def sweep() -> None:
        while not stopping.is_set():
            night.sweep()
            stopping.wait(SWEEP_S)

    thread = threading.Thread(target=sweep, name="sweep")
    thread.start()
    try:
        yield
    finally:
        stopping.set()
        thread.join()


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
