"""A module of ours as a child process of a command: it speaks JSON lines, and its last one says how it ended.

That is {"event": "done", ...}, or {"event": "failed", "reason": ..., "message": ...}.
"""

from collections.abc import Callable, Collection, Mapping, Sequence
from pathlib import Path
from typing import Any

from deploy.embedded.services import log_of
from services.children.speaking import ChildEnd, run_speaking
from services.domain.errors import InvalidRequest, NightjarError, TrainingFailed
from services.settings import Settings


def last_line(
    settings: Settings,
    log_name: str,
    what: str,
    command: Sequence[str],
    on_line: Callable[[Mapping[str, Any]], object],
    *,
    errors: Collection[type[NightjarError]],
    environment: Mapping[str, str] | None = None,
) -> Mapping[str, Any]:
    """Runs the command and blocks; what it said last, once it is done. Its log is `logs/LOG_NAME.log`.

    what: begins a sentence, such as "The check". Raises as `failure` says, StartFailed, and what on_line raises.
    """
    path = opened_log(settings, log_name)
    with path.open("ab") as log:
        end = run_speaking(command, on_line, log=log, environment=environment)
    failed = failure(end, what, path, errors)
    if failed is not None:
        raise failed
    return end.last_line


def failure(
    end: ChildEnd, what: str, log_path: Path | str, errors: Collection[type[NightjarError]]
) -> NightjarError | None:
    """What a child failed of: the one of `errors` it names, InvalidRequest, or TrainingFailed; None for one done."""
    last = end.last_line
    if end.status == 0 and last.get("event") == "done":
        return None
    if last.get("event") != "failed":
        silence = "" if last else " and said nothing"
        return TrainingFailed(f"{what} {end.sentence_end}{silence}; its log is {log_path}.")
    if last["reason"] == InvalidRequest.reason.value:
        name, _, problem = last["message"].partition(" ")
        return InvalidRequest(name, problem)
    named = {kind.reason.value: kind for kind in errors}
    return named.get(last["reason"], TrainingFailed)(last["message"])


def opened_log(settings: Settings, name: str) -> Path:
    """The file for a child's log, its folder made."""
    path = log_of(settings, name)
    path.parent.mkdir(parents=True, exist_ok=True)
    return path


def flags(values: Mapping[str, object]) -> list[str]:
    """`--name=value` of each that is not None."""
    return [f"{name}={value}" for name, value in values.items() if value is not None]
