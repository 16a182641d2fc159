"""What every long-running process does the same way: begin, say that it is ready, and stop on a signal."""

import json
import os
import signal
import threading
from pathlib import Path
from typing import Any

import structlog

from services import logs
from services.settings import Settings

log = structlog.get_logger()


def begin(name: str, settings: Settings) -> None:
    """Sets up logging and logs the effective settings, secrets masked."""
    logs.configure(settings.log_level, name)
    log.info("process_started", pid=os.getpid(), settings=settings.model_dump(mode="json"))


def announce_ready(path: Path | None, **facts: Any) -> None:
    """Writes the ready file whole or not at all, for whoever started this process; `facts` are its JSON."""
    log.info("process_ready", **facts)
    if path is not None:
        draft = path.with_name(f"{path.name}.{os.getpid()}")
        draft.write_text(json.dumps(facts), encoding="utf-8")
        draft.replace(path)


def stop_on_signals() -> threading.Event:
    """An event that SIGTERM and SIGINT set; call from the main thread."""
    stop = threading.Event()

    def on_signal(_number: int, _frame: object) -> None:
        stop.set()  # and no logging: the interrupted code may hold the log's lock

    signal.signal(signal.SIGTERM, on_signal)
    signal.signal(signal.SIGINT, on_signal)
    return stop
