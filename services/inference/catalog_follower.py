"""What the tasks of a worker share that keep up with the catalog database: woken by notices and by their own clock."""

import asyncio
from abc import ABC, abstractmethod
from collections.abc import Callable
from typing import Any, Final, TypeVar

import structlog

from services.domain.errors import CatalogDown
from services.domain.ports import Notices

T = TypeVar("T")

log = structlog.get_logger(__name__)

CATALOG_TIMEOUT_S: Final = 5.0  # larger: a silent database holds polling up; smaller: a busy one counts as down


class Polling:
    """The notices of what nobody is in a hurry for: there are none."""

    async def wait(self, timeout_s: float) -> bool:
        await asyncio.sleep(timeout_s)
        return False


class CatalogFollower(ABC):
    """One task of a worker. Nothing that happens in it ends it: the worker would serve an old state for good."""

    def __init__(self, notices: Notices) -> None:
        self._notices = notices
        self._tried = asyncio.Event()
        self._catalog_is_down = False

    @abstractmethod
    async def catch_up(self) -> None:
        """Asks the database once and makes what it says count."""
        ...

    async def run(self, poll_interval_s: float) -> None:
        """Follows until cancelled."""
        loop = asyncio.get_running_loop()
        while True:
            next_poll = loop.time() + poll_interval_s
            woken = False
            try:
                await self.catch_up()
                self._tried.set()
                woken = await self._notices.wait(poll_interval_s)
            except Exception:
                log.exception("follower_failed", follower=type(self).__name__)
                self._tried.set()
            if not woken:  # a wait that cannot wait, or a fault at once, would be an endless loop at full speed
                await asyncio.sleep(next_poll - loop.time())

    async def tried(self) -> None:
        """Returns when the first try is over, whatever came of it."""
        await self._tried.wait()

    async def _ask(self, question: Callable[[], T]) -> T:
        """Asks the database in a thread; raises CatalogDown also when it is silent, so that polling goes on.

        The thread stays until the driver gives up, whose own limits are a few times ours: a handful at most wait.
        """
        try:
            async with asyncio.timeout(CATALOG_TIMEOUT_S):
                return await asyncio.to_thread(question)
        except TimeoutError as error:
            raise CatalogDown(
                f"The catalog database gave no answer within {CATALOG_TIMEOUT_S:g} s; check it and the way to it."
            ) from error

    def _catalog_went(self, error: CatalogDown, **still: Any) -> None:
        """Notes that the database is down. `still`: what goes on counting meanwhile, for the log."""
        if not self._catalog_is_down:  # said once, not at every poll
            log.warning("catalog_down", error=str(error), **still)
        self._catalog_is_down = True

    def _catalog_came_back(self) -> None:
        if self._catalog_is_down:
            log.info("catalog_back")
        self._catalog_is_down = False
