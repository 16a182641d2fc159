"""How a process that somebody else started says how it goes: JSON lines on standard output, heard by `speaking`.

The last is {"event": "done", ...} with exit status 0, or {"event": "failed", "reason": ..., "message": ...} with 1.
"""

import json
import sys
from collections.abc import Callable, Mapping
from typing import Any

import structlog

from services.domain.errors import NightjarError

log = structlog.get_logger(__name__)


def say(line: Mapping[str, Any]) -> None:
    sys.stdout.write(json.dumps(line) + "\n")
    sys.stdout.flush()


def parsed(line: str) -> Mapping[str, Any]:
    """What was said; empty for a line that is no JSON object."""
    try:
        said = json.loads(line)
    except ValueError:
        return {}
    return said if isinstance(said, dict) else {}


def said_to_its_end(what: str, work: Callable[[], Mapping[str, Any] | None]) -> int:
    """Does the work and says how it ended; returns the exit status. None is not said: another process has the word.

    what: such as "training", for the log's `training_failed`.
    """
    try:
        done = work()
    except NightjarError as error:
        if structlog.is_configured():  # else it would go to standard output, which is for JSON
            log.error(f"{what}_failed", reason=error.reason.value, error=str(error))
        say({"event": "failed", "reason": error.reason.value, "message": str(error)})
        return 1
    if done is not None:
        say({"event": "done", **done})
    return 0
