"""What is mixed into a list beside the model's own: items like those the user looks at, and what a surface sells."""

from pathlib import Path

import numpy as np
import pytest

from services.domain.ids import ItemId, UserId
from services.domain.recommendations import ANYBODY, Degraded, Query, Source
from services.domain.wishes import Boost, Filter, Wishes
from services.inference.candidates import fused
from tests.fakes.history_reader import history_of
from tests.fakes.wished_shop import ANN, HIDDEN, WishedShop, ids, item_id

NOBODY = UserId("nobody")


@pytest.fixture
def shop(tmp_path: Path) -> WishedShop:
    shop = WishedShop(tmp_path / "v1")
    shop.histories.histories[ANN] = history_of("item-1", "item-5")
    return shop


async def test_items_like_those_looked_at_are_mixed_in_by_their_places(shop: WishedShop) -> None:
    """The sum of 1 / (60 + place) in both lists, by hand."""
    looked_at = item_id(20)
    of_model = [each for each in ids(await shop.ask(Query(ANN, 500))) if each != looked_at]
    of_item = [each.item_id for each in shop.recommender.similar(looked_at, 500).items]
    expected = {
        each: sum(1 / (61 + places.index(each)) for places in (of_model, of_item) if each in places)
        for each in {*of_model, *of_item}
    }
    for _ in range(2):
        answer = await shop.ask(Query(ANN, 10, wishes=Wishes(context=(looked_at,))))
        assert [each.score for each in answer.items] == pytest.approx(sorted(expected.values(), reverse=True)[:10])
        assert [each.score for each in answer.items] == pytest.approx([expected[each.item_id] for each in answer.items])
        sources = {each.item_id: each.source for each in answer.items}
        assert sources == {
            each: Source.SIMILAR if of_item.index(each) < of_model.index(each) else Source.MODEL for each in sources
        }
        assert set(sources.values()) == {Source.SIMILAR, Source.MODEL}
    assert (answer.cache_hit, answer.source) == (True, Source.MODEL)


async def test_a_basket_counts_whole_and_none_of_it_is_in_the_list(shop: WishedShop) -> None:
    basket = (item_id(20), item_id(21), ItemId("unknown"))
    answer = await shop.ask(Query(ANN, 500, wishes=Wishes(context=basket)))
    assert not {*basket, *map(item_id, HIDDEN)} & set(ids(answer))
    assert len(ids(answer)) == 60 - len(HIDDEN) - 2


async def test_filters_and_boosts_act_on_the_similar_items_too(shop: WishedShop) -> None:
    wanted = Filter(any_categories=frozenset({"art"}))
    answer = await shop.ask(Query(ANN, 500, wishes=Wishes(wanted, context=(item_id(20),))))
    assert all("art" in shop.known[each].categories for each in ids(answer))
    far = ids(await shop.ask(Query(ANN, 500, wishes=Wishes(context=(item_id(20),)))))[-1]
    boosts = (Boost(1000.0, item_ids=frozenset({far})),)
    assert ids(await shop.ask(Query(ANN, 1, wishes=Wishes(boosts=boosts, context=(item_id(20),))))) == [far]


async def test_a_visitor_who_only_looks_at_something_gets_what_is_like_it_and_popular(shop: WishedShop) -> None:
    answer = await shop.ask(Query(ANYBODY, 6, wishes=Wishes(context=(item_id(20),))))
    assert answer.source is Source.POPULAR
    assert {each.source for each in answer.items} == {Source.POPULAR, Source.SIMILAR}


async def test_for_somebody_unknown_the_surface_says_what_is_popular(shop: WishedShop) -> None:
    """And then come the others, as they were popular in training."""
    said = [(item_id(50), 9.0), (ItemId("new"), 8.0), (item_id(HIDDEN[0]), 7.0), (item_id(40), 6.0)]
    shop.counters.said = said
    answer = await shop.ask(Query(NOBODY, 5, wishes=Wishes(surface="home")))
    assert ids(answer) == [item_id(50), item_id(40), item_id(1), item_id(2), item_id(4)]
    assert [each.score for each in answer.items] == [9.0, 6.0, 0.0, 0.0, 0.0]
    assert (answer.source, answer.degraded) == (Source.COUNTERS, Degraded.NONE)
    assert {each.source for each in answer.items} == {Source.COUNTERS}
    assert [surface for _, surface in shop.counters.asked] == ["home"]


async def test_whom_the_model_knows_gets_the_models_list_on_any_surface(shop: WishedShop) -> None:
    answer = await shop.ask(Query(ANN, 5, wishes=Wishes(surface="home")))
    assert (ids(answer), answer.source) == (ids(await shop.ask(Query(ANN, 5))), Source.MODEL)
    assert shop.counters.asked == []


async def test_without_counters_and_for_pages_it_is_what_was_popular_in_training(shop: WishedShop) -> None:
    shop.counters.said = [(item_id(50), 9.0)]
    paged = await shop.ask(Query(NOBODY, 2, wishes=Wishes(surface="home", is_paged=True)))
    shop.counters.is_down = True
    down = await shop.ask(Query(NOBODY, 2, wishes=Wishes(surface="home")))
    assert ids(paged) == ids(down) == [item_id(1), item_id(2)]
    assert {paged.source, down.source} == {Source.POPULAR}


def test_fusing_is_by_places_and_ties_go_by_row() -> None:
    rows, scores = fused(np.array([3, 1]), np.array([1, 3]), np.empty(0, np.int64))
    assert rows.tolist() == [1, 3]
    assert scores.tolist() == pytest.approx([1 / 61 + 1 / 62] * 2)
    assert fused()[0].tolist() == []
