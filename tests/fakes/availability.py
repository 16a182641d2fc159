"""Snapshots of the catalog's availability, made on the spot."""

from services.domain.ids import ItemId
from services.domain.items import Availability
from services.inference.availability import Snapshot

HIDDEN = Availability(hidden=True)


def snapshot_of(version: int = 1, **items: Availability) -> Snapshot:
    """`item_3=HIDDEN` speaks of item-3."""
    return Snapshot(version, {ItemId(name.replace("_", "-")): each for name, each in items.items()})
