"""A list that the caller has, in the caller's order: what a model's order of its items says of each."""

from collections.abc import Sequence

from services.domain.ids import ItemId
from services.domain.recommendations import NotRanked, RankedItem
from services.domain.vocabulary import Vocabulary
from services.inference.excluded import Rows, Vector


def in_callers_order(
    words: Vocabulary, item_ids: Sequence[ItemId], rows: Rows, scores: Vector
) -> tuple[RankedItem, ...]:
    """rows, scores: of those that are known and may be shown, best first."""
    order = zip(rows.tolist(), scores.tolist(), strict=True)
    places = {row: (score, rank) for rank, (row, score) in enumerate(order, start=1)}

    def item(item_id: ItemId) -> RankedItem:
        row = words.item_rows.get(item_id)
        if row is None:
            return RankedItem(item_id, not_ranked=NotRanked.UNKNOWN_ITEM)
        if row not in places:
            return RankedItem(item_id, not_ranked=NotRanked.UNAVAILABLE)
        return RankedItem(item_id, *places[row])

    return tuple(map(item, item_ids))
