"""A child process that speaks JSON lines on standard output: started in a group of its own, listened to, ended.

It is followed by the thread that starts it, since its leash is tied to that thread.
"""

import os
import selectors
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum, auto
from typing import IO, Any, Final

from services.children.groups import GRACE_S, end_group
from services.children.leash import leashed
from services.children.saying import parsed
from services.domain.errors import StartFailed

TICK_S: Final = 0.2  # larger: the end is seen later; smaller: idle CPU
CHUNK_BYTES: Final = 65_536  # what a pipe holds


class Cause(Enum):
    """Why a child is gone."""

    ENDED = auto()
    """By itself, well or not."""
    TIMED_OUT = auto()
    STOPPED = auto()
    """`keep_going` said no."""


@dataclass(frozen=True, slots=True)
class ChildEnd:
    """How a child ended. `status` is negative for a signal; `last_words` is its last line of log that we passed on."""

    cause: Cause
    status: int
    last_line: Mapping[str, Any]
    """Empty when the last line it said was no JSON object."""
    last_words: str

    @property
    def sentence_end(self) -> str:
        """Such as "ended with status 3" or "was ended by SIGTERM"."""
        if self.status >= 0:
            return f"ended with status {self.status}"
        hint = ", which often means out of memory" if self.status == -signal.SIGKILL else ""
        return f"was ended by {signal.Signals(-self.status).name}{hint}"


def run_speaking(
    command: Sequence[str],
    on_line: Callable[[Mapping[str, Any]], object],
    *,
    log: IO[bytes] | None = None,
    environment: Mapping[str, str] | None = None,
    timeout_s: float = float("inf"),
    keep_going: Callable[[], bool] = lambda: True,
) -> ChildEnd:
    """Runs the command and blocks until it ended; then it and all it started are gone, also when this raises.

    on_line gets what the child says, line by line, {} for what is no JSON object. `log` receives its standard error;
    None passes that on to ours. keep_going is asked several times a second. Raises StartFailed, and whatever on_line
    and keep_going raise.
    """
    try:
        process = subprocess.Popen(
            leashed(list(command)),
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE if log is None else log,
            env=None if environment is None else dict(environment),
            start_new_session=True,  # Ctrl-C in the terminal reaches us alone, and we end the child
        )
    except OSError as error:
        raise StartFailed(f"{command[0]} cannot be started: {error.strerror}.") from error
    with process, _Hearing(process, on_line) as hearing:
        try:
            cause = _follow(process, hearing, time.monotonic() + timeout_s, keep_going)
        finally:
            end_group(process)
        hearing.listen_to_the_end(GRACE_S)
        return ChildEnd(cause, process.returncode, hearing.last_line, hearing.last_words)


def _follow(
    process: "subprocess.Popen[bytes]", hearing: "_Hearing", deadline: float, keep_going: Callable[[], bool]
) -> Cause:
    while process.poll() is None:
        if time.monotonic() >= deadline:
            return Cause.TIMED_OUT
        if not keep_going():
            return Cause.STOPPED
        hearing.listen(TICK_S)
    return Cause.ENDED


class _Hearing:
    """Reads the child's pipes as they fill, and remembers its last words."""

    def __init__(self, process: "subprocess.Popen[bytes]", on_line: Callable[[Mapping[str, Any]], object]) -> None:
        self.last_line: Mapping[str, Any] = {}
        self.last_words = ""
        self._on_line = on_line
        self._selector = selectors.DefaultSelector()
        for pipe, each in ((process.stdout, self._said), (process.stderr, self._logged)):
            if pipe is not None:
                self._selector.register(pipe, selectors.EVENT_READ, _Lines(pipe, each))

    def __enter__(self) -> "_Hearing":
        return self

    def __exit__(self, *_: object) -> None:
        self._selector.close()

    def listen(self, timeout_s: float) -> None:
        """Hands on what is there, waiting at most so long for the first of it."""
        for key, _ in self._selector.select(timeout_s):
            if not key.data.read():
                self._selector.unregister(key.fileobj)

    def listen_to_the_end(self, timeout_s: float) -> None:
        """Bounded: a grandchild that left the group may hold a pipe open for ever."""
        deadline = time.monotonic() + timeout_s
        while self._selector.get_map() and (left_s := deadline - time.monotonic()) > 0:
            self.listen(left_s)

    def _said(self, line: str) -> None:
        self.last_line = parsed(line)
        self._on_line(self.last_line)

    def _logged(self, line: str) -> None:
        sys.stderr.write(line + "\n")
        self.last_words = line.strip() or self.last_words


class _Lines:
    """The lines of one pipe, each once it is whole."""

    def __init__(self, pipe: IO[bytes], on_line: Callable[[str], object]) -> None:
        self._pipe = pipe
        self._on_line = on_line
        self._begun = b""

    def read(self) -> bool:
        """Reads what is there; False at the end of the pipe."""
        chunk = os.read(self._pipe.fileno(), CHUNK_BYTES)
        *lines, self._begun = (self._begun + (chunk or (b"\n" if self._begun else b""))).split(b"\n")
        for line in lines:
            self._on_line(line.decode("utf-8", "replace"))
        return bool(chunk)
