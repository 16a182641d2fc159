"""How the online writer learns who asked to be forgotten, without ever waiting for the database.

Nothing orders the users topic against the events topic, so what an erased user did may still be to be read, or to be
read again. A thread of its own looks for wishes; the writer's thread takes them, forgets, and from then on writes no
event that they cover. Since that is one thread, nothing it wrote before outlives what it then forgets.
"""

import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from typing import Final

from services.domain.ids import UserId
from services.domain.ports import Clock, UserDirectory
from services.domain.users import Erasure
from services.ingest.waiting import until_done

_LOOK_S: Final = 1.0  # larger: what an erased user did shows up for longer; smaller: more asking that tells nothing new
_FIRST_LOOK_S: Final = 10.0  # larger: a start without the database is slower; smaller: one beside its start may miss it
# A wish is open for at least log.vacuum_min_age_h, which is an hour or more. Larger: one may open and close unseen;
# smaller: all wishes are read more often.
_LONGEST_GAP: Final = timedelta(hours=1)


class ErasureFollower:
    """Hands over the wishes of a user directory, which is opened with the first look."""

    def __init__(self, open_directory: Callable[[], UserDirectory], clock: Clock) -> None:
        self._open_directory = open_directory
        self._clock = clock
        self._directory: UserDirectory | None = None
        self._seen_until: datetime | None = None
        self._first_is_over = threading.Event()
        self._lock = threading.Lock()
        self._found: dict[UserId, Erasure] = {}

    def follow(self, stop: threading.Event) -> None:
        """Looks again and again until `stop` is set; waits for a database that is down."""
        try:
            while not stop.is_set():
                until_done(self.look, stop)
                self._first_is_over.set()
                stop.wait(_LOOK_S)
        finally:
            self._first_is_over.set()

    def wait_for_first_look(self) -> None:
        """Blocks until there was one, though not for long: a database that is down holds up no event."""
        self._first_is_over.wait(_FIRST_LOOK_S)

    def look(self) -> None:
        """Finds the wishes that came since the last look, open ones again; after a failure all. Raises CatalogDown."""
        if self._directory is None:
            self._directory = self._open_directory()
        now, seen_until, self._seen_until = self._clock.now(), self._seen_until, None
        is_whole = seen_until is None or now - seen_until > _LONGEST_GAP
        found = self._directory.erasures() if is_whole else self._directory.open_erasures()
        with self._lock:
            self._found |= {wish.user_id: wish for wish in found}
        self._seen_until = now

    def take(self) -> Sequence[Erasure]:
        """What was found since the last time; from any thread."""
        with self._lock:
            found, self._found = self._found, {}
        return list(found.values())
