"""What every long-running process does the same way: begin, and stop on a signal. How it says ready: `ready_file`."""

import os
import signal
import threading

import structlog

from services import logs
from services.settings import Settings

log = structlog.get_logger()


def begin(name: str, settings: Settings) -> None:
    """Sets up logging and logs the effective settings, secrets masked."""
    logs.configure(settings.log_level, name)
    log.info("process_started", pid=os.getpid(), settings=settings.model_dump(mode="json"))


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; call from the main thread."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()  # and no logging: the interrupted code may hold the log's lock

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
