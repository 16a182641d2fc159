"""What the catalog says of the items, as training takes it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple, Self

from services.domain.ids import ItemId
from services.domain.item_features import item_features, item_text
from services.domain.ports import ItemSource


class CatalogContent(NamedTuple):
    """Each of the items that have any."""

    features: Mapping[ItemId, Sequence[str]]
    titles: Mapping[ItemId, str]
    texts: Mapping[ItemId, str]
    """What a sentence encoder reads."""

    @classmethod
    def of(cls, items: ItemSource) -> Self:
        """Looks at every item once."""
        features, titles, texts = {}, {}, {}
        for item in items.each():
            if found := item_features(item):
                features[item.item_id] = found
            if item.title:
                titles[item.item_id] = item.title
            if text := item_text(item):
                texts[item.item_id] = text
        return cls(features, titles, texts)
