"""Workers of one host that load a model one after another, so that the cores that serve are not all taken at once."""

import fcntl
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import structlog

POLL_S: Final = 0.02  # larger: the core is idle between two loads; smaller: idle CPU
PATIENCE_S: Final = 10.0
"""How long a worker waits for its turn. Larger: one that hangs while it loads keeps the others from being ready.

Smaller: of many workers, or large models, the last load all at once.
"""

log = structlog.get_logger(__name__)


@contextmanager
def in_turn(lock: Path, pause: Callable[[float], object] = time.sleep) -> Iterator[None]:
    """Waits until no other worker is within, at most for PATIENCE_S; blocks. Without a place for the lock: at once."""
    try:
        lock.parent.mkdir(parents=True, exist_ok=True)
        file = lock.open("w")
    except OSError as error:
        log.warning("loading_without_turns", path=str(lock), error=str(error))
        yield
        return
    with file:  # closing lets go, and so does dying
        for _ in range(round(PATIENCE_S / POLL_S)):
            if _is_taken(file):
                break
            pause(POLL_S)
        yield


def _is_taken(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
