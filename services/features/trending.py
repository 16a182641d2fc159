"""What is popular or trending now, of items or of categories: the counters joined with the catalog when they are read.

Counters know items alone, so an item that changes its categories takes its past along, and a rebuild from the log needs
no catalog of the past.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from services.domain.counters import CounterKind
from services.domain.ids import ItemId
from services.domain.ports import ItemCatalog, ItemCounters

_FIRST_DEPTH: Final = 200  # items looked up at first. Larger: more read for a short list; smaller: more rounds
_ALL: Final = 1_000_000  # larger: more memory for the items of a huge catalogue; smaller: its tail counts for nothing


@dataclass(frozen=True, slots=True)
class Window:
    """Which counters are asked: of which kind, at which moment, on which surface (None: all together)."""

    kind: CounterKind
    now_us: int
    surface: str | None = None


async def top_items(
    counters: ItemCounters, catalog: ItemCatalog, window: Window, num_items: int, category: str | None = None
) -> Sequence[tuple[ItemId, float]]:
    """The items with the largest sums; only those that have the category now, where one is named.

    Raises FeatureStoreDown, CatalogDown.
    """
    if category is None:
        return await _top(counters, window, num_items)
    depth = max(_FIRST_DEPTH, num_items)
    while True:
        ranked = await _top(counters, window, depth)
        items = catalog.get([item_id for item_id, _ in ranked])
        found = [pair for pair in ranked if pair[0] in items and category in items[pair[0]].categories]
        if len(found) >= num_items or len(ranked) < depth:
            return found[:num_items]
        depth *= 4


async def top_categories(
    counters: ItemCounters, catalog: ItemCatalog, window: Window, num_categories: int
) -> Sequence[tuple[str, float]]:
    """The categories with the largest sums over their items, each of which counts in all its own; raises likewise."""
    ranked = await _top(counters, window, _ALL)
    items = catalog.get([item_id for item_id, _ in ranked])
    totals: dict[str, float] = defaultdict(float)
    for item_id, total in ranked:
        for category in items[item_id].categories if item_id in items else ():
            totals[category] += total
    return sorted(totals.items(), key=lambda pair: (-pair[1], pair[0]))[:num_categories]


async def _top(counters: ItemCounters, window: Window, num_items: int) -> Sequence[tuple[ItemId, float]]:
    return await counters.top(window.kind, num_items, window.now_us, surface=window.surface)
