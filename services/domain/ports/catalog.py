"""The item catalog."""

from collections.abc import Mapping, Sequence
from typing import Protocol

from services.domain.ids import ItemId
from services.domain.interactions import Item


class ItemCatalog(Protocol):
    def upsert(self, items: Sequence[Item]) -> None:
        """Stores each item unless a newer update_time is stored already; raises CatalogDown."""
        ...

    def get(self, item_ids: Sequence[ItemId]) -> Mapping[ItemId, Item]:
        """The known ones among them."""
        ...

    def count(self) -> int: ...
