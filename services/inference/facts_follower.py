"""The follower of the catalog's facts: keeps the facts slot on the categories, attributes, tags and prices of items.

It polls, for nobody is in a hurry as with a hidden item. While the database is away, what was read last counts (law 6).
"""

import asyncio
import time
from collections.abc import Callable, Iterable
from functools import partial
from typing import Final

import structlog

from services.domain.errors import CatalogDown
from services.domain.items import FactsMark
from services.domain.ports import FactsSource
from services.inference.catalog_follower import CatalogFollower, Polling
from services.inference.facts import CatalogFacts, FactsSlot
from services.inference.serving_model import ServingModel

log = structlog.get_logger(__name__)

PAGE_ITEMS: Final = 20_000  # larger: a slow database gives no page in time; smaller: a start takes more trips


class FactsFollower(CatalogFollower):
    """models: those that answer now, for which the facts are worked out before any request asks."""

    def __init__(self, slot: FactsSlot, source: FactsSource, models: Callable[[], Iterable[ServingModel]]) -> None:
        super().__init__(Polling())
        self._slot = slot
        self._source = source
        self._models = models
        self._read = CatalogFacts.empty()
        self._mark = FactsMark()

    async def catch_up(self) -> None:
        """Reads what changed since the last time, page by page, and makes it count once all is heard.

        What was read before the database went away is not read again.
        """
        start, num_changes, is_last = time.perf_counter(), 0, False
        try:
            while not is_last:
                page = await self._ask(partial(self._source.facts_since, self._mark, PAGE_ITEMS))
                if page.version < self._mark.version:  # a database made anew counts from 0 again
                    self._read, self._mark = CatalogFacts.empty(), FactsMark()
                    continue
                if page.items or self._read.version != page.version:
                    self._read = await asyncio.to_thread(self._read.after, page.version, page.items)
                num_changes, self._mark, is_last = num_changes + len(page.items), page.mark, page.is_last
        except CatalogDown as error:
            known = self._slot.catalog
            self._catalog_went(error, facts_as_of=None if known is None else known.version)
            return
        self._catalog_came_back()
        if self._slot.catalog is not self._read:
            await asyncio.to_thread(self._slot.replace, self._read, self._models())
            load_s = round(time.perf_counter() - start, 3)
            log.info("facts_loaded", version=self._read.version, num_changes=num_changes, load_s=load_s)
        else:
            await asyncio.to_thread(self._prepare)

    def _prepare(self) -> None:
        """For models that came since."""
        for model in self._models():
            self._slot.prepare(model)
