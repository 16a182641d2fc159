"""Training as a separate process that ends with the scheduler.

The child speaks JSON lines on standard output; the last is {"event": "done", "version": ...} or {"event": "failed",
"message": ...}, the others are progress. Its standard error is passed on to ours.
"""

from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

import structlog

from scheduler.nightly import Outcome, TrainingEnd
from services.children.speaking import Cause, ChildEnd, run_speaking
from services.domain.errors import StartFailed
from services.domain.ids import ModelVersion

MAX_DETAIL: Final = 500  # larger: a traceback in a table; smaller: half a sentence

log = structlog.get_logger(__name__)


class TrainingProcess:
    """Fulfils TrainingLauncher: runs `command`, for at most `timeout_s` seconds."""

    def __init__(self, command: Sequence[str], timeout_s: float) -> None:
        self._command = list(command)
        self._timeout_s = timeout_s

    def run(self, keep_going: Callable[[], bool]) -> TrainingEnd:
        log.info("training_process_starts", command=self._command)
        try:
            end = run_speaking(self._command, _note, timeout_s=self._timeout_s, keep_going=keep_going)
        except StartFailed as error:
            return TrainingEnd(Outcome.FAILED, detail=str(error))
        if end.cause is Cause.TIMED_OUT:
            detail = f"Training took longer than {self._timeout_s:g} s and was ended."
            return TrainingEnd(Outcome.TIMED_OUT, detail=detail)
        if end.cause is Cause.STOPPED:
            detail = "Training was ended because the scheduler stopped or lost its lease."
            return TrainingEnd(Outcome.STOPPED, detail=detail)
        return _result(end)


def _result(end: ChildEnd) -> TrainingEnd:
    """What an exit status and the lines heard add up to."""
    event, version = end.last_line.get("event"), end.last_line.get("version")
    if end.status == 0 and event == "done" and isinstance(version, str):
        return TrainingEnd(Outcome.COMPLETED, version=ModelVersion(version))
    if end.status == 0:
        problem = "Training ended without naming the version it made."
    elif end.status > 0 and event == "failed":
        problem = str(end.last_line.get("message"))
    else:
        problem = f"Training {end.sentence_end}: {end.last_words or 'it said nothing'}"
    return TrainingEnd(Outcome.FAILED, detail=problem[:MAX_DETAIL])


def _note(said: Mapping[str, Any]) -> None:
    log.info("training_progress", progress=said)
