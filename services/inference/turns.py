"""Workers of one host that get a model ready one after another, so that not all cores that serve are taken at once."""

import asyncio
import fcntl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import structlog

POLL_S: Final = 0.02  # larger: the core is idle between two loads; smaller: idle CPU
PATIENCE_S: Final = 10.0
"""How long a worker waits for its turn. Larger: one that hangs while it loads keeps the others from being ready.

Smaller: of many workers, or large models, the last load all at once.
"""

log = structlog.get_logger(__name__)


@asynccontextmanager
async def in_turn(lock: Path, pause: Callable[[float], Awaitable[object]] = asyncio.sleep) -> AsyncIterator[None]:
    """Waits until no other worker is within, at most for PATIENCE_S. Without a place for the lock: at once."""
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
            await pause(POLL_S)
        yield


def _is_taken(file: Any) -> bool:
    try:
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
