"""Who asked for what a moment ago: what a new model is tried on, and answers ahead, before it serves.

They are of users who may ask to be forgotten, so they live no longer than a cached answer (law 7); of what a user did
nothing is kept.
"""

from collections import OrderedDict
from datetime import datetime, timedelta
from typing import Final, NamedTuple

from services.domain.ids import UserId
from services.domain.ports import Clock

KEPT: Final = 1_024  # larger: a new model is ready later; smaller: more users find nothing cached after a swap
MAX_AGE: Final = timedelta(minutes=10)  # larger: an erased user stays longer; smaller: a quiet worker has none


class Request(NamedTuple):
    user_id: UserId
    k: int


class RecentRequests:
    """The newest requests of users whom a model knows, each once. For the event loop; true while there are any."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._times = OrderedDict[Request, datetime]()  # the oldest first

    def __len__(self) -> int:
        return len(self._times)

    def note(self, user_id: UserId, k: int) -> None:
        request = Request(user_id, k)
        self._times[request] = self._clock.now()
        self._times.move_to_end(request)
        if len(self._times) > KEPT:
            self._times.popitem(last=False)

    def newest(self) -> list[Request]:
        """What is kept now, the newest first."""
        return list(reversed(self._times))

    def forget_old(self) -> None:
        """Lets go of what is too old; to be called every few seconds."""
        oldest = self._clock.now() - MAX_AGE
        while self._times and next(iter(self._times.values())) < oldest:
            self._times.popitem(last=False)
