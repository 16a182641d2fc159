"""What items can share: their content in words."""

from dataclasses import replace

from services.domain.ids import ItemId
from services.domain.item_features import MAX_FEATURES, item_features, magnitude
from services.domain.items import Item, Price

HEAT = Item(ItemId("heat"), "Heat, the Film", ("Crime",), {"year": "1995"}, tags=("heist",), price=Price("EUR", 12))


def test_every_part_of_the_content_is_a_feature_of_its_own() -> None:
    assert item_features(HEAT) == (
        "category=Crime", "tag=heist", "year=1995", "title=heat", "title=the", "title=film", "price EUR~6",
    )  # fmt: skip


def test_items_that_cost_about_the_same_share_a_feature() -> None:
    prices = [list(magnitude("price", amount)) for amount in (10.0, 11.0, 100.0)]
    assert prices[0] == prices[1] != prices[2]


def test_a_number_that_is_none_is_no_feature() -> None:
    assert [list(magnitude("price", amount)) for amount in (0.0, float("nan"), float("inf"))] == [[], [], []]


def test_a_novel_as_description_does_not_drown_the_rest() -> None:
    features = item_features(replace(HEAT, description=" ".join(f"word{n}" for n in range(1_000))))
    assert len(features) == MAX_FEATURES
    assert features[0] == "category=Crime"


def test_nothing_known_is_no_features() -> None:
    assert item_features(Item(ItemId("a"))) == ()
