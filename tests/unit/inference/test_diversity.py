"""Maximal marginal relevance, held against the formula worked out item by item."""

import asyncio
from pathlib import Path

import numpy as np
import pytest

from services.domain.ids import ItemId
from services.domain.items import Facts
from services.domain.recommendations import Degraded, Query
from services.domain.wishes import MustInclude, Wishes
from services.inference.excluded import Vector
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import KINDS
from tests.fakes.wished_shop import ANN, WishedShop, ids, item_id


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> WishedShop:
    shop = WishedShop(tmp_path / "v1", request.param)
    shop.histories.histories[ANN] = history_of("item-1", "item-5")
    return shop


def likeness(shop: WishedShop, first: ItemId, second: ItemId) -> float:
    if shop.model.index.dim:
        a, b = shop.model.index.directions(shop.model.known_rows([first, second])).astype(np.float64)
        return float(a @ b)
    one, other = set(shop.known[first].categories), set(shop.known[second].categories)
    return len(one & other) / len(one | other) if one | other else 0.0


def by_the_formula(shop: WishedShop, ranked: dict[ItemId, float], weight: float, k: int) -> list[ItemId]:
    low, high = min(ranked.values()), max(ranked.values())
    chosen = list[ItemId]()
    while len(chosen) < k:
        value = {
            each: (1 - weight) * (score - low) / (high - low)
            - weight * max((likeness(shop, each, other) for other in chosen), default=0.0)
            for each, score in ranked.items()
            if each not in chosen
        }
        best = max(value.values())
        chosen.append(next(each for each in value if value[each] > best - 1e-6))
    return chosen


@pytest.mark.parametrize("weight", [0.2, 0.5, 0.9, 1.0])
async def test_each_place_goes_to_the_largest_marginal_relevance(shop: WishedShop, weight: float) -> None:
    ranked = await shop.ranked(Query(ANN))
    answer = await shop.ask(Query(ANN, 12, wishes=Wishes(diversity=weight)))
    assert ids(answer) == by_the_formula(shop, ranked, weight, 12)
    assert [each.score for each in answer.items] == [ranked[each] for each in ids(answer)]
    assert ids(answer) != list(ranked)[:12]


async def test_a_longer_list_begins_as_a_shorter_one(shop: WishedShop) -> None:
    short, long = [ids(await shop.ask(Query(ANN, k, wishes=Wishes(diversity=0.5)))) for k in (5, 40)]
    assert long[:5] == short


async def test_the_lists_are_less_alike_the_more_it_weighs(shop: WishedShop) -> None:
    def alike(items: list[ItemId]) -> float:
        return float(np.mean([likeness(shop, a, b) for a in items for b in items if a != b]))

    lists = [ids(await shop.ask(Query(ANN, 10, wishes=Wishes(diversity=weight)))) for weight in (0.01, 0.99)]
    assert alike(lists[1]) < alike(lists[0])


async def test_what_must_be_there_is_something_that_others_should_be_unlike(shop: WishedShop) -> None:
    first = item_id(30)
    answer = ids(await shop.ask(Query(ANN, 2, wishes=Wishes(diversity=1.0, must_include=(MustInclude(first, 1),)))))
    ranked = await shop.ranked(Query(ANN))
    least = min(likeness(shop, first, each) for each in ranked if each != first)
    assert likeness(shop, first, answer[1]) == pytest.approx(least, abs=1e-6)


async def test_without_vectors_and_facts_it_is_by_relevance_and_said(tmp_path: Path) -> None:
    shop = WishedShop(tmp_path / "v1", "ease")
    shop.histories.histories[ANN] = history_of("item-1", "item-5")
    shop.facts.__init__()  # type: ignore[misc]
    answer = await shop.ask(Query(ANN, 5, wishes=Wishes(diversity=0.5)))
    assert ids(answer) == ids(await shop.ask(Query(ANN, 5)))
    assert answer.degraded is Degraded.CATALOG_DOWN


async def test_facts_decide_only_where_vectors_do_not(tmp_path: Path) -> None:
    for kind, decides in (("sequence", False), ("ease", True)):
        shop = WishedShop(tmp_path / kind, kind)
        shop.histories.histories[ANN] = history_of("item-1", "item-5")
        query = Query(ANN, 5, wishes=Wishes(diversity=0.5))
        first = await shop.ask(query)
        shop.tell({each: Facts(("one",)) for each in shop.known})
        second = await shop.ask(query)
        assert (second.cache_hit, first.catalog_version == second.catalog_version) == (not decides, not decides)


def test_lists_of_equals_and_of_nothing_are_lists(tmp_path: Path) -> None:
    shop = WishedShop(tmp_path / "v1", "popularity")

    async def check() -> None:
        shop.hide(range(2, 61))
        answer = await shop.ask(Query(ANN, 5, wishes=Wishes(diversity=0.5)))
        assert ids(answer) == [item_id(1)]
        shop.hide(range(1, 61))
        assert ids(await shop.ask(Query(ANN, 5, wishes=Wishes(diversity=0.5)))) == []

    asyncio.run(check())


def test_directions_have_length_one_or_none(tmp_path: Path) -> None:
    index = WishedShop(tmp_path / "v1").model.index
    lengths: Vector = np.linalg.norm(index.directions(np.arange(1, 11)), axis=1)
    assert lengths == pytest.approx(np.ones(10))
