"""Who may use a home: one process at a time, by a lock that the system takes back when that process ends."""

import fcntl
from pathlib import Path
from typing import IO, Final

from services.domain.errors import StartFailed

FILE: Final = "stack.lock"


def hold(home: Path) -> IO[str]:
    """Makes the home where there is none, and holds it until closed, or until this process ends in whatever way.

    Raises StartFailed when another process holds it, or when it is no folder of ours.
    """
    try:
        if home.exists() and not home.is_dir():
            raise StartFailed(f"{home} is not a folder; set NIGHTJAR_HOME to one of yours.")
        home.mkdir(parents=True, exist_ok=True)
        lock = (home / FILE).open("w")
    except OSError as error:
        raise StartFailed(
            f"{home} cannot be used ({error.strerror}); set NIGHTJAR_HOME to a folder of yours."
        ) from error
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        lock.close()
        raise StartFailed(
            f"A stack is already running in {home}; stop it with `nightjar down`, or name another NIGHTJAR_HOME."
        ) from error
    return lock
