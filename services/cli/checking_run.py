"""A check of the log as a child process, listened to line by line and never left behind; no screen here."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from deploy.embedded.services import environment, log_of
from services.children.speaking import run_speaking
from services.domain.errors import (
    EventLogDown,
    InvalidRequest,
    InvalidSettings,
    NightjarError,
    NotEnoughData,
    TrainingFailed,
    UnknownVersion,
)
from services.settings import Settings

CHECKING: Final = (sys.executable, "-m", "services.training.checking")
_ERRORS: Final[Mapping[str, type[NightjarError]]] = {
    kind.reason.value: kind for kind in (EventLogDown, InvalidSettings, NotEnoughData, UnknownVersion)
}


def run_check(
    settings: Settings,
    data_version: int | None,
    as_of: str,
    on_line: Callable[[Mapping[str, Any]], object],
    command: Sequence[str] = CHECKING,
) -> Mapping[str, Any]:
    """What the check said last, `passed` and `findings` in it; blocks. The child's log is `logs/checking.log`.

    data_version: None is the newest. as_of: empty is now. Raises what the check failed of: NotEnoughData,
    UnknownVersion, EventLogDown, InvalidRequest, InvalidSettings, or TrainingFailed.
    """
    named = {"--data-version": data_version, "--as-of": as_of or None}
    log_path = log_of(settings, "checking")
    log_path.parent.mkdir(parents=True, exist_ok=True)
    with log_path.open("ab") as log:
        end = run_speaking(
            [*command, *(f"{name}={value}" for name, value in named.items() if value is not None)],
            on_line,
            log=log,
            environment=environment(settings),
        )
    last = end.last_line
    if end.status == 0 and last.get("event") == "done":
        return last
    if last.get("event") != "failed":
        raise TrainingFailed(f"The check {end.sentence_end} and said nothing; its log is {log_path}.")
    if last["reason"] == InvalidRequest.reason.value:
        name, _, problem = last["message"].partition(" ")
        raise InvalidRequest(name, problem)
    raise _ERRORS.get(last["reason"], TrainingFailed)(last["message"])
