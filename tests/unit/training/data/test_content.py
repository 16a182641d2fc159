"""Items as bags of numbered features."""

from services.domain.ids import ItemId
from services.training.data.content import ItemContent

IDS = [ItemId(name) for name in ("a", "b", "c")]


def test_features_that_items_share_are_numbered_and_those_of_one_item_are_left_out() -> None:
    content = ItemContent.of(IDS, {IDS[0]: ["red", "own", "red"], IDS[2]: ["round", "red"], ItemId("d"): ["round"]})
    assert content.names == ("red",)
    assert content.features.tolist() == [1, 1]
    assert content.starts.tolist() == [0, 1, 1, 2]


def test_nothing_known_of_any_item_is_no_features() -> None:
    for content in (ItemContent.of(IDS, {}), ItemContent.nothing(3)):
        assert (content.num_features, len(content.features), content.starts.tolist()) == (0, 0, [0, 0, 0, 0])
