"""A check of the log as a child process, listened to line by line and never left behind; no screen here."""

import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Final

from deploy.embedded.services import environment
from services.cli.child_run import flags, last_line
from services.domain.errors import EventLogDown, InvalidSettings, NotEnoughData, UnknownVersion
from services.settings import Settings

CHECKING: Final = (sys.executable, "-m", "services.training.checking")
_ERRORS: Final = (EventLogDown, InvalidSettings, NotEnoughData, UnknownVersion)


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
    return last_line(
        settings,
        "checking",
        "The check",
        [*command, *flags({"--data-version": data_version, "--as-of": as_of or None})],
        on_line,
        errors=_ERRORS,
        environment=environment(settings),
    )
