"""What becomes of published events: an outcome each, and a batch that is done when each has one."""

import asyncio
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import Final

BROKER_DOWN: Final = "broker_down"
NO_ANSWER_IN_TIME: Final = "no_answer_in_time"
MAX_ID_CHARACTERS: Final = 256  # a well-formed id has no more; larger: an answer as large as its request
MAX_DETAIL_CHARACTERS: Final = 512  # our sentences have fewer; larger: as above, by what they quote


class Status(StrEnum):
    STORED = "stored"
    INVALID = "invalid"
    NOT_STORED = "not_stored"


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one event; `problem` is the stable word and `detail` the sentence, empty when it is stored.

    A stream keeps them until its end, long after its events are gone: so the id and the sentence are cut.
    """

    event_id: str
    status: Status
    problem: str = ""
    detail: str = ""


class Batch:
    """Events under way and their outcomes, in order. Made in the event loop, told from any thread."""

    def __init__(self, event_ids: Sequence[str], timeout_s: float, when_over: Callable[[], None]) -> None:
        """event_ids: as they came; what an answer needs of them is kept.

        when_over: called once in the loop, when nothing of the batch is under way, whether anybody waits or not.
        """
        self._event_ids = [event_id[:MAX_ID_CHARACTERS] for event_id in event_ids]
        self._outcomes: list[Outcome | None] = [None] * len(event_ids)
        self._num_open = len(event_ids)
        self._lock = threading.Lock()
        self._loop = asyncio.get_running_loop()
        self._over: asyncio.Future[None] = self._loop.create_future()
        self._when_over = when_over
        self._timeout_s = timeout_s
        self._deadline = time.monotonic() + timeout_s
        if not event_ids:
            self._end(None)

    @property
    def is_late(self) -> bool:
        """True when its answer is due: nothing more need be tried."""
        return time.monotonic() >= self._deadline

    def tell(self, row: int, status: Status, problem: str = "", detail: str = "") -> None:
        """The outcome of the event in that place, once for each."""
        self._outcomes[row] = Outcome(self._event_ids[row], status, problem, detail[:MAX_DETAIL_CHARACTERS])
        with self._lock:
            self._num_open -= 1
            is_last = self._num_open == 0
        if is_last:
            self._loop.call_soon_threadsafe(self._end, None)

    def fail(self, error: Exception) -> None:
        """Ends the batch with an error that nobody foresaw."""
        self._loop.call_soon_threadsafe(self._end, error)

    async def outcomes(self) -> list[Outcome]:
        """Waits until each event has its outcome, or until the time is up; raises what the batch failed with."""
        await asyncio.wait([self._over], timeout=max(0.0, self._deadline - time.monotonic()))
        if self._over.done():
            self._over.result()
        return [outcome or self._unanswered(row) for row, outcome in enumerate(self._outcomes)]

    def _unanswered(self, row: int) -> Outcome:
        detail = f"Kafka did not acknowledge the event within {self._timeout_s:g} s; send it again."
        return Outcome(self._event_ids[row], Status.NOT_STORED, NO_ANSWER_IN_TIME, detail)

    def _end(self, error: Exception | None) -> None:
        if self._over.done():
            return
        self._when_over()
        if error is None:
            self._over.set_result(None)
        else:
            self._over.set_exception(error)
