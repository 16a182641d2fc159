"""Boosts, items that must be there, quotas: what each does to a list, held against plain arithmetic."""

import asyncio
from collections import Counter
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.domain.ids import ItemId, UserId
from services.domain.items import Facts
from services.domain.recommendations import LeftOut, NotRanked, Query, Seen, Source
from services.domain.wishes import Attribute, Boost, Filter, MustInclude, Quota, Wishes
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import KINDS
from tests.fakes.wished_shop import ANN, CATEGORIES, HIDDEN, NUM_ITEMS, WishedShop, ids, item_id

BOOSTS = st.lists(
    st.builds(Boost, st.sampled_from([0.0, 0.5, 1.0, 3.0, 1000.0]), category=st.sampled_from(CATEGORIES))
    | st.builds(
        Boost,
        st.sampled_from([0.1, 2.0]),
        item_ids=st.frozensets(st.integers(1, 70).map(item_id), min_size=1, max_size=5),
    )
    | st.builds(Boost, st.just(2.5), attribute=st.just(Attribute("brand", frozenset({"acme", "best"})))),
    min_size=1,
    max_size=4,
)


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> WishedShop:
    return WishedShop(tmp_path / "v1", request.param)


@pytest.fixture
def plain_shop(tmp_path: Path) -> WishedShop:
    shop = WishedShop(tmp_path / "v1")
    shop.histories.histories[ANN] = history_of("item-1", "item-5")
    return shop


def weight(boosts: list[Boost], known: ItemId, facts: Facts) -> np.float32:
    product = np.float32(1)
    for boost in boosts:
        attribute = boost.attribute
        if (
            known in boost.item_ids
            or boost.category in facts.categories
            or (attribute is not None and facts.attributes.get(attribute.name) in attribute.values)
        ):
            product *= np.float32(boost.weight)
    return product


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(boosts=BOOSTS, k=st.integers(1, 20), history=st.lists(st.integers(1, NUM_ITEMS), max_size=3))
def test_relevance_is_what_is_better_than_the_worst_times_the_weights(
    shop: WishedShop, boosts: list[Boost], k: int, history: list[int]
) -> None:
    """Of all items, not of some that would have been retrieved without the boost."""
    shop.histories.histories[ANN] = history_of(*map(item_id, history), version=f"{history}")
    shop.hide(())
    query = Query(ANN, k, seen=Seen.INCLUDE, wishes=Wishes(boosts=tuple(boosts)))

    async def check() -> None:
        scores = await shop.ranked(query)
        lowest = min(np.float32(each) for each in scores.values())
        relevance = {
            each: (np.float32(score) - lowest) * weight(boosts, each, shop.known[each])
            for each, score in scores.items()
        }
        answer = await shop.ask(query)
        found = [each.score for each in answer.items]
        assert found == sorted(map(float, relevance.values()), reverse=True)[:k]
        assert found == [float(relevance[each.item_id]) for each in answer.items]
        again = await shop.ask(query)
        assert again.items == answer.items

    asyncio.run(check())


async def test_a_boost_of_one_changes_nothing_for_any_kind(shop: WishedShop) -> None:
    """Also not the order of items of which the model says nothing, which come by popularity."""
    shop.histories.histories[ANN] = history_of("item-1", "item-5")
    plain = await shop.ask(Query(ANN, 50))
    boosted = await shop.ask(Query(ANN, 50, wishes=Wishes(boosts=(Boost(1.0, category="eggs"),))))
    assert ids(boosted) == ids(plain)


async def test_what_must_be_included_is_at_its_place_or_at_the_first_free_one(plain_shop: WishedShop) -> None:
    plain = ids(await plain_shop.ask(Query(ANN, 8)))
    hidden, first, seventh, second = item_id(HIDDEN[0]), item_id(40), plain[1], item_id(5)
    wishes = Wishes(
        filter=Filter(any_categories=frozenset(CATEGORIES)),
        must_include=(
            MustInclude(first), MustInclude(seventh, 7), MustInclude(second), MustInclude(hidden, 2),
            MustInclude(ItemId("unknown")),
        ),
    )  # fmt: skip
    plain_shop.histories.histories[ANN] = history_of("item-1", "item-5", consumed=("item-5",))
    for _ in range(2):
        answer = await plain_shop.ask(Query(ANN, 8, wishes=wishes))
        found = ids(answer)
        assert (found[0], found[1], found[6]) == (first, second, seventh)
        assert len(set(found)) == 8
        assert [each.source for each in answer.items].count(Source.RULE) == 3
        assert [each.score for each in answer.items if each.source is Source.RULE] == [0.0] * 3
        assert answer.left_out == (
            LeftOut(hidden, NotRanked.UNAVAILABLE),
            LeftOut(ItemId("unknown"), NotRanked.UNKNOWN_ITEM),
        )
    assert answer.cache_hit


async def test_in_a_short_list_what_must_be_included_comes_at_the_end(plain_shop: WishedShop) -> None:
    fitting = Filter(attributes=frozenset({Attribute("brand", frozenset({"nobody's"}))}))
    wishes = Wishes(filter=fitting, must_include=(MustInclude(item_id(9), 400), MustInclude(item_id(8), 30)))
    assert ids(await plain_shop.ask(Query(ANN, 10, wishes=wishes))) == [item_id(8), item_id(9)]


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    quotas=st.lists(st.builds(Quota, st.integers(0, 4), st.sampled_from(("", *CATEGORIES))), min_size=1, max_size=3),
    k=st.integers(1, NUM_ITEMS),
    user=st.sampled_from(["ann", "nobody"]),
)
def test_quotas_are_kept_and_nothing_better_is_passed_over(
    shop: WishedShop, quotas: list[Quota], k: int, user: str
) -> None:
    shop.histories.histories[ANN] = history_of("item-1", "item-5")
    query = Query(UserId(user), k, wishes=Wishes(quotas=tuple(quotas)))

    async def check() -> None:
        found = ids(await shop.ask(query))
        counts, expected = Counter[str](), list[ItemId]()
        for each in await shop.ranked(query):
            categories = set(shop.known[each].categories)
            has_room = all(
                counts[category] < quota.max_items
                for category in categories
                for quota in quotas
                if quota.category in ("", category)
                and not (quota.category == "" and any(other.category == category for other in quotas))
            )
            if has_room and len(expected) < k:
                counts.update(categories)
                expected.append(each)
        assert found == expected

    asyncio.run(check())


async def test_what_must_be_included_counts_in_its_categories_and_stays(plain_shop: WishedShop) -> None:
    plain_shop.tell(dict.fromkeys(plain_shop.known, Facts(("art",))))
    wishes = Wishes(quotas=(Quota(2),), must_include=(MustInclude(item_id(9), 1), MustInclude(item_id(8), 2)))
    assert ids(await plain_shop.ask(Query(ANN, 10, wishes=wishes))) == [item_id(9), item_id(8)]


async def test_quotas_go_as_deep_as_they_must(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Past the first pool, so that k items come back wherever k fit."""
    monkeypatch.setattr("services.inference.listing.MAX_DEPTH", 8)
    shop = WishedShop(tmp_path / "v1")
    shop.histories.histories[ANN] = history_of("item-1")
    ranked = list(await shop.ranked(Query(ANN)))
    shop.tell({each: Facts(("art",) if place < 40 else ("eggs",)) for place, each in enumerate(ranked)})
    found = ids(await shop.ask(Query(ANN, 6, wishes=Wishes(quotas=(Quota(2, "art"),)))))
    assert found == [*ranked[:2], *ranked[40:44]]


async def test_without_any_facts_rules_about_them_are_left_out_and_the_reply_says_so(plain_shop: WishedShop) -> None:
    plain = ids(await plain_shop.ask(Query(ANN, 8)))
    plain_shop.facts.__init__()  # type: ignore[misc]
    wishes = Wishes(boosts=(Boost(9.0, category="eggs"),), quotas=(Quota(1),))
    answer = await plain_shop.ask(Query(ANN, 8, wishes=wishes))
    assert (ids(answer), answer.degraded) == (plain, "catalog_down")
