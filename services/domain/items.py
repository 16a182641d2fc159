"""Items: what there is to recommend."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from services.domain.ids import ItemId


@dataclass(frozen=True, slots=True)
class Item:
    """The present state of one catalogue item."""

    item_id: ItemId
    title: str = ""
    categories: tuple[str, ...] = ()
    attributes: Mapping[str, str] = field(default_factory=dict)
    update_time_us: int = 0
