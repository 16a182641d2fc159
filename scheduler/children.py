"""Steps that compute run in a process of their own, which the night ends with: `python -m MODULE ARGUMENTS`.

The child speaks JSON lines on standard output; the last is {"event": "done", ...} or {"event": "failed", "reason": ...,
"message": ...}, the others are progress. Its standard error is passed on to ours.
"""

import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

from scheduler.chain import PERMANENT, StepFailed, Work
from services.children.speaking import Cause, ChildEnd, run_speaking

MAX_DETAIL: Final = 500  # larger: a traceback in a table; smaller: half a sentence


@dataclass(frozen=True, slots=True)
class Task:
    """What a child is to do: a module that can be run, and its arguments."""

    module: str
    arguments: Sequence[str] = field(default_factory=tuple)


class Children(Protocol):
    """Where tasks run."""

    def run(self, task: Task, work: Work) -> Mapping[str, Any]:
        """Blocks until the task ended, and returns the last line it said. Raises StepFailed and StartFailed."""
        ...


def python_command(task: Task) -> list[str]:
    return [sys.executable, "-m", task.module, *task.arguments]


@dataclass(frozen=True)
class LocalChildren:
    """Fulfils Children on this machine."""

    command: Callable[[Task], list[str]] = python_command

    def run(self, task: Task, work: Work) -> Mapping[str, Any]:
        return outcome(
            run_speaking(self.command(task), work.note, timeout_s=work.timeout_s, keep_going=work.keep_going),
            work.timeout_s,
        )


def outcome(end: ChildEnd, timeout_s: float) -> Mapping[str, Any]:
    """What an exit status and the lines heard add up to: the last line of one that is done, or StepFailed."""
    if end.cause is Cause.TIMED_OUT:
        raise StepFailed(f"It took longer than {timeout_s:g} s and was ended.", timed_out=True)
    if end.cause is Cause.STOPPED:
        raise StepFailed("It was ended because the scheduler stops, lost the night, or time was up.")
    event, said = end.last_line.get("event"), end.last_line
    if end.status == 0 and event == "done":
        return said
    if end.status == 0:
        raise StepFailed("It ended without saying that it is done.")
    if end.status > 0 and event == "failed":
        raise failure(said)
    raise StepFailed(f"It {end.sentence_end}: {end.last_words or 'it said nothing'}"[:MAX_DETAIL])


def failure(said: Mapping[str, Any]) -> StepFailed:
    """Of a child whose last line says that it failed."""
    return StepFailed(str(said.get("message"))[:MAX_DETAIL], retry=said.get("reason") not in PERMANENT)
