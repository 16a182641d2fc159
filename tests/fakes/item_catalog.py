"""The item catalog in a dict."""

from collections.abc import Mapping, Sequence

from services.domain.ids import ItemId
from services.domain.items import Item


class FakeItemCatalog:
    def __init__(self) -> None:
        self._items: dict[ItemId, Item] = {}

    def upsert(self, items: Sequence[Item]) -> None:
        for item in items:
            known = self._items.get(item.item_id)
            if known is None or item.update_time_us >= known.update_time_us:
                self._items[item.item_id] = item

    def get(self, item_ids: Sequence[ItemId]) -> Mapping[ItemId, Item]:
        return {item_id: self._items[item_id] for item_id in item_ids if item_id in self._items}

    def count(self) -> int:
        return len(self._items)
