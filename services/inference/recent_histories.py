"""Histories that were asked for a moment ago: what a new model is tried on before it serves.

They are of users who may ask to be forgotten, so they live no longer than a cached answer (law 7), and no user id is
kept with them.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from datetime import datetime, timedelta
from typing import Final

from services.domain.errors import BundleBroken
from services.domain.ids import ItemId, UserId
from services.domain.interactions import UserHistory
from services.domain.ports import Clock, HistoryReader
from services.inference.retrieval import NO_ROWS
from services.inference.serving_model import ServingModel

KEPT: Final = 32  # larger: memory (a full history is 40 KB) and a longer warm-up; smaller: fewer kinds of users tried
EVERY: Final = 16  # one request in so many is kept; larger: a quiet worker has few; smaller: they are of one minute
MAX_AGE: Final = timedelta(minutes=10)  # larger: an erased user stays longer; smaller: a quiet worker has none
NUM_ITEMS: Final = 10  # as many as most requests ask for


class RecentHistories:
    """Fulfils HistoryReader by another one, and keeps some of what it read. `histories` is safe in any thread."""

    def __init__(self, reader: HistoryReader, clock: Clock) -> None:
        self._reader = reader
        self._clock = clock
        self._kept: deque[tuple[datetime, UserHistory]] = deque(maxlen=KEPT)
        self._num_read = 0

    async def read(self, user_id: UserId) -> UserHistory:
        """See HistoryReader."""
        history = await self._reader.read(user_id)
        if history.entries:
            if self._num_read % EVERY == 0:
                self._kept.append((self._clock.now(), history))
            self._num_read += 1
        return history

    async def read_shown(self, user_id: UserId) -> Mapping[ItemId, int]:
        """See HistoryReader; nothing of it is kept."""
        return await self._reader.read_shown(user_id)

    def histories(self) -> list[UserHistory]:
        """What is kept now, the oldest first."""
        return [history for _, history in self._kept.copy()]

    def forget_old(self) -> None:
        """Lets go of what is too old; to be called every few seconds, on the event loop."""
        oldest = self._clock.now() - MAX_AGE
        while self._kept and self._kept[0][0] < oldest:
            self._kept.popleft()


def replay(model: ServingModel, histories: Iterable[UserHistory]) -> None:
    """Answers for each history as a request would; blocks. Raises BundleBroken when the model fails on any.

    Also fills what is filled at first use, so that the first real requests find a warm model.
    """
    num_failed, reason = 0, ""
    for history in histories:
        rows = model.history_rows(history.entries)
        try:
            if model.scorer.knows(rows):
                model.scorer.best(rows, NUM_ITEMS, model.known_rows(history.consumed))
            else:
                model.index.popular(NUM_ITEMS, NO_ROWS)
        except BundleBroken as error:
            num_failed, reason = num_failed + 1, str(error)
    if num_failed:
        raise BundleBroken(f"{model.version} fails on {num_failed} histories that were asked for lately: {reason}")
