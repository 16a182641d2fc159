"""What is known of items, made on the spot."""

from collections.abc import Mapping

from services.domain.ids import ItemId
from services.domain.items import Facts
from services.inference.facts import CatalogFacts, FactsSlot


def catalog_of(items: Mapping[str, Facts], version: int = 1) -> CatalogFacts:
    return CatalogFacts.empty().after(version, {ItemId(item_id): each for item_id, each in items.items()})


def slot_of(items: Mapping[str, Facts]) -> FactsSlot:
    slot = FactsSlot()
    slot.replace(catalog_of(items), ())
    return slot
