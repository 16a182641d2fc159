"""Where the time of an answer goes: each stage ends where the next one begins.

What works an answer out says `ended(stage)`; nobody listens but the request that it is done for.
"""

import time
from contextvars import ContextVar
from enum import StrEnum
from typing import Final


class Stage(StrEnum):
    STORE = "store"
    """Reading what is known of the user, and the cached answer: one round trip to Redis."""
    ENCODE = "encode"
    """From a history to a user vector; of a kind without one, to scores."""
    CANDIDATES = "candidates"
    """The best items of all, without what may not be shown."""
    ARRANGE = "arrange"
    """Rules and diversity."""
    REPLY = "reply"
    """From item rows to the words of the reply."""


class Stages:
    """The stages of one request, which begin when it is made."""

    __slots__ = ("_since_s", "start_s", "taken_s")

    def __init__(self) -> None:
        self.start_s = self._since_s = time.perf_counter()
        self.taken_s: dict[Stage, float] = {}
        """By stage, in order; seconds."""

    def told(self) -> str:
        """As W3C's Server-Timing has it, milliseconds."""
        return ", ".join(f"{stage};dur={1_000 * seconds:.3f}" for stage, seconds in self.taken_s.items())

    def ended(self, stage: Stage) -> None:
        now = time.perf_counter()
        self.taken_s[stage] = self.taken_s.get(stage, 0.0) + now - self._since_s
        self._since_s = now


_PRESENT: Final[ContextVar[Stages | None]] = ContextVar("stages", default=None)


def listen() -> Stages:
    """Begins the stages of the present call; each call has a context of its own."""
    stages = Stages()
    _PRESENT.set(stages)
    return stages


def ended(stage: Stage) -> None:
    """Ends a stage of the present call, if there is one."""
    stages = _PRESENT.get()
    if stages is not None:
        stages.ended(stage)
