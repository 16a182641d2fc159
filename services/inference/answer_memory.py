"""Answers that this worker gave lately: kept in the process, so that a question asked again needs no more than a look
at whether its user has done anything since.

They are of users who may ask to be forgotten, so they live no longer than a cached answer (law 7).
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from typing import Final, NamedTuple

from services.domain.recommendations import Recommendation

KEPT: Final = 4_096  # some 4 KiB each with 20 items. Larger: memory of each worker; smaller: Redis is asked for more


class _Kept(NamedTuple):
    answer: Recommendation
    end_time_s: float


class AnswerMemory:
    """The newest answers, by the key under which they are cached; for the event loop.

    life_s: of an answer. timer: seconds, never set back.
    """

    def __init__(self, life_s: float, num_kept: int = KEPT, timer: Callable[[], float] = time.monotonic) -> None:
        self._life_s = life_s
        self._num_kept = num_kept
        self._timer = timer
        self._kept = OrderedDict[bytes, _Kept]()  # the oldest first

    def __len__(self) -> int:
        return len(self._kept)

    def get(self, key: bytes) -> Recommendation | None:
        """The answer, whatever the user has done since; None when there is none, or it is too old."""
        kept = self._kept.get(key)
        return None if kept is None or kept.end_time_s <= self._timer() else kept.answer

    def put(self, key: bytes, answer: Recommendation) -> None:
        self._kept[key] = _Kept(answer, self._timer() + self._life_s)
        self._kept.move_to_end(key)
        if len(self._kept) > self._num_kept:
            self._kept.popitem(last=False)

    def forget_old(self) -> None:
        """Lets go of what is too old; to be called every few seconds."""
        now = self._timer()
        while self._kept and next(iter(self._kept.values())).end_time_s <= now:
            self._kept.popitem(last=False)
