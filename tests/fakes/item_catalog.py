"""The item catalog in a dict: the plain statement of what the SQL must do."""

import threading
from collections.abc import Iterator, Mapping, Sequence

from services.domain.errors import CatalogDown
from services.domain.ids import ItemId
from services.domain.items import ALWAYS, NO_FACTS, AvailabilityChanges, Facts, FactsMark, FactsPage, Item


class FakeItemCatalog:
    """Implements ItemCatalog, ItemSource, AvailabilitySource and FactsSource; `is_down` makes it fail."""

    def __init__(self) -> None:
        self._items: dict[ItemId, Item] = {}
        self._changed_in: dict[ItemId, int] = {}
        self._version = 0
        self._facts_changed_in: dict[ItemId, int] = {}
        self._facts_version = 0
        self._lock = threading.Lock()
        self.is_down = False

    def upsert(self, items: Sequence[Item]) -> int | None:
        with self._lock:
            return self._upsert(items)

    def _upsert(self, items: Sequence[Item]) -> int | None:
        before = dict(self._items)
        for item in items:
            known = self._items.get(item.item_id)
            if known is None or item.update_time_us >= known.update_time_us:
                self._items[item.item_id] = item
        changed = {
            item_id
            for item_id, item in self._items.items()
            if item.availability != (before[item_id].availability if item_id in before else ALWAYS)
        }
        told = {
            item_id
            for item_id, item in self._items.items()
            if Facts.of(item) != (Facts.of(before[item_id]) if item_id in before else NO_FACTS)
        }
        if told:
            self._facts_version += 1
            self._facts_changed_in |= dict.fromkeys(told, self._facts_version)
        if not changed:
            return None
        self._version += 1
        self._changed_in |= dict.fromkeys(changed, self._version)
        return self._version

    def get(self, item_ids: Sequence[ItemId]) -> Mapping[ItemId, Item]:
        return {item_id: self._items[item_id] for item_id in item_ids if item_id in self._items}

    def each(self) -> Iterator[Item]:
        yield from list(self._items.values())

    def count(self) -> int:
        return len(self._items)

    def availability_since(self, version: int) -> AvailabilityChanges:
        if self.is_down:
            raise CatalogDown("The database is down; the test said so.")
        since = {
            item_id: self._items[item_id].availability
            for item_id, changed_in in self._changed_in.items()
            if changed_in > version
        }
        return AvailabilityChanges(self._version, since)

    def facts_since(self, mark: FactsMark, limit: int) -> FactsPage:
        if self.is_down:
            raise CatalogDown("The database is down; the test said so.")
        after = (mark.version, mark.item_id)
        changes = sorted((version, item_id) for item_id, version in self._facts_changed_in.items())
        page = [each for each in changes if each > after][:limit]
        items = {item_id: Facts.of(self._items[item_id]) for _, item_id in page}
        return FactsPage(self._facts_version, items, FactsMark(*page[-1]) if page else mark, len(page) < limit)
