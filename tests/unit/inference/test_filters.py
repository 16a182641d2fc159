"""A filter lets through exactly what it says, and the list is as long as what is left."""

import asyncio
from pathlib import Path

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from services.domain.counters import CounterKind
from services.domain.errors import InvalidRequest
from services.domain.ids import ItemId, UserId
from services.domain.items import Facts, Price
from services.domain.recommendations import Degraded, PopularQuery, Query, Seen, Source
from services.domain.wishes import Attribute, Boost, Filter, Quota, Wishes
from services.inference.filter_flags import MIN_KEPT, FilterFlags
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import KINDS
from tests.fakes.wished_shop import ANN, BRANDS, CATEGORIES, HIDDEN, NUM_ITEMS, WishedShop, ids, item_id

PRICES = st.builds(Price, st.just("EUR"), st.integers(0, 20), st.sampled_from([0, 500_000_000]))
SOME = st.frozensets(st.sampled_from(CATEGORIES), max_size=2)
FILTERS = st.builds(
    Filter,
    any_categories=SOME,
    all_categories=SOME,
    no_categories=SOME,
    attributes=st.frozensets(
        st.builds(Attribute, st.just("brand"), st.frozensets(st.sampled_from((*BRANDS, "other")), min_size=1))
        | st.builds(Attribute, st.just("size"), st.frozensets(st.sampled_from("123"), min_size=1)),
        max_size=2,
    ),
    min_price=st.none() | PRICES,
    max_price=st.none() | PRICES | st.just(Price("GBP", 5)),
)


def fits(facts: Facts, wanted: Filter) -> bool:
    """The plain statement of what a filter says."""
    categories, price = set(facts.categories), facts.price
    return (
        (not wanted.any_categories or bool(categories & wanted.any_categories))
        and wanted.all_categories <= categories
        and not categories & wanted.no_categories
        and all(facts.attributes.get(each.name) in each.values for each in wanted.attributes)
        and (wanted.min_price is None or (price is not None and amount(price) >= amount(wanted.min_price)
             and price.currency_code == wanted.min_price.currency_code))
        and (wanted.max_price is None or (price is not None and amount(price) <= amount(wanted.max_price)
             and price.currency_code == wanted.max_price.currency_code))
    )  # fmt: skip


def amount(price: Price) -> tuple[int, int]:
    return price.units, price.nanos


@pytest.fixture(params=KINDS)
def shop(request: pytest.FixtureRequest, tmp_path: Path) -> WishedShop:
    return WishedShop(tmp_path / "v1", request.param)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(wanted=FILTERS, k=st.integers(1, NUM_ITEMS), history=st.lists(st.integers(1, NUM_ITEMS), max_size=4))
def test_the_list_is_the_best_of_all_that_fit(shop: WishedShop, wanted: Filter, k: int, history: list[int]) -> None:
    """Against every item, one by one; k come back whenever k fit; twice, so from the cache too where there is one."""
    rows = [item_id(row) for row in history]
    shop.histories.histories[ANN] = history_of(*rows, consumed=tuple(rows), version=f"{history}")
    query = Query(ANN, k, wishes=Wishes(filter=wanted))

    async def check() -> None:
        ranked = await shop.ranked(query)
        expected = [each for each in ranked if fits(shop.known[each], wanted) and each not in rows][:k]
        for _ in range(2):
            answer = await shop.ask(query)
            assert ids(answer) == expected
            assert [each.score for each in answer.items] == [ranked[each] for each in expected]

    asyncio.run(check())


def eggs(**fields: object) -> Wishes:
    return Wishes(filter=Filter(any_categories=frozenset({"eggs"})), **fields)  # type: ignore[arg-type]


@pytest.fixture
def plain_shop(tmp_path: Path) -> WishedShop:
    shop = WishedShop(tmp_path / "v1")
    shop.histories.histories[ANN] = history_of("item-1", "item-5")
    return shop


async def test_a_change_of_facts_counts_in_the_next_answer_whatever_was_cached(plain_shop: WishedShop) -> None:
    """Law 2: another catalog version, another key."""
    query = Query(ANN, NUM_ITEMS, wishes=eggs())
    first = await plain_shop.ask(query)
    gone = ids(first)[0]
    plain_shop.tell(plain_shop.known | {gone: Facts(("art",))})
    second = await plain_shop.ask(query)
    assert ids(second) == ids(first)[1:]
    assert (second.cache_hit, (await plain_shop.ask(query)).cache_hit) == (False, True)
    assert first.catalog_version != second.catalog_version
    assert (await plain_shop.ask(Query(ANN))).catalog_version == first.catalog_version.partition(".")[0]


async def test_hidden_items_fit_no_filter(plain_shop: WishedShop) -> None:
    plain_shop.tell({item_id(row): Facts(("eggs",)) for row in range(1, NUM_ITEMS + 1)})
    found = ids(await plain_shop.ask(Query(ANN, NUM_ITEMS, seen=Seen.INCLUDE, wishes=eggs())))
    assert sorted(found) == sorted({item_id(row) for row in range(1, NUM_ITEMS + 1)} - set(map(item_id, HIDDEN)))


@pytest.mark.parametrize(
    ("wishes", "field"),
    [
        (Wishes(filter=Filter(any_categories=frozenset({"fish"}))), "filter.any_categories"),
        (Wishes(filter=Filter(all_categories=frozenset({"eggs", "fish"}))), "filter.all_categories"),
        (Wishes(filter=Filter(no_categories=frozenset({"fish"}))), "filter.no_categories"),
        (Wishes(boosts=(Boost(2.0, category="eggs"), Boost(2.0, category="fish"))), "boosts[1].category"),
        (Wishes(quotas=(Quota(1, "fish"),)), "quotas[0].category"),
    ],
)
async def test_a_category_that_nobody_ever_heard_of_is_a_mistake(
    plain_shop: WishedShop, wishes: Wishes, field: str
) -> None:
    with pytest.raises(InvalidRequest) as raised:
        await plain_shop.ask(Query(ANN, wishes=wishes))
    assert raised.value.field == field


async def test_a_category_that_has_no_items_any_more_is_none(plain_shop: WishedShop) -> None:
    """The page of a category whose last item goes must not break."""
    catalog = plain_shop.facts.catalog
    assert catalog is not None
    plain_shop.facts.replace(catalog.after(2, dict.fromkeys(plain_shop.known, Facts(("art",)))), ())
    assert ids(await plain_shop.ask(Query(ANN, wishes=eggs()))) == []


async def test_before_the_catalog_has_said_anything_nothing_fits_and_the_reply_says_why(plain_shop: WishedShop) -> None:
    """Law 6, and no list breaks what was asked for."""
    plain_shop.facts.__init__()  # type: ignore[misc]
    for user, source in ((ANN, Source.MODEL), (UserId("nobody"), Source.POPULAR)):
        answer = await plain_shop.ask(Query(user, wishes=eggs()))
        assert (ids(answer), answer.source, answer.degraded) == ([], source, Degraded.CATALOG_DOWN)
    unfiltered = await plain_shop.ask(Query(ANN, wishes=Wishes(diversity=0.5)))
    assert (len(unfiltered.items), unfiltered.degraded) == (10, Degraded.NONE)


async def test_what_is_popular_and_what_is_similar_can_be_filtered_too(plain_shop: WishedShop) -> None:
    wanted = eggs().filter
    plain_shop.counters.said = [(item_id(row), float(100 - row)) for row in range(1, 30)] + [(ItemId("new"), 1.0)]
    popular = await plain_shop.popular.best(PopularQuery(CounterKind.POPULAR, 50, filter=wanted))
    expected = [item_id(row) for row in range(1, 30) if "eggs" in plain_shop.known[item_id(row)].categories]
    assert [each.item_id for each in popular.items] == [each for each in expected if each not in map(item_id, HIDDEN)]
    similar = plain_shop.recommender.similar(item_id(1), NUM_ITEMS, wanted)
    everything = plain_shop.recommender.similar(item_id(1), NUM_ITEMS)
    assert similar.items == tuple(
        each for each in everything.items if "eggs" in plain_shop.known[each.item_id].categories
    )
    assert similar.catalog_version != everything.catalog_version
    plain_shop.counters.is_down = True
    plain_shop.clock.advance(60)
    of_model = await plain_shop.popular.best(PopularQuery(CounterKind.POPULAR, 50, filter=wanted))
    assert (of_model.source, of_model.degraded) == (Source.POPULAR, Degraded.FEATURE_STORE_DOWN)
    assert {"eggs"} <= set.intersection(*(set(plain_shop.known[each.item_id].categories) for each in of_model.items))
    for counters_are_down in (True, False):
        plain_shop.counters.is_down = counters_are_down
        plain_shop.clock.advance(60)
        with pytest.raises(InvalidRequest):
            await plain_shop.popular.best(PopularQuery(CounterKind.POPULAR, 5, filter=Filter(frozenset({"fish"}))))


async def test_a_filter_that_is_asked_for_again_is_not_worked_out_again(plain_shop: WishedShop) -> None:
    for _ in range(3):
        await plain_shop.ask(Query(ANN, wishes=eggs(diversity=0.1)))
        await plain_shop.ask(Query(ANN, wishes=eggs()))
    flags = plain_shop.facts.of(plain_shop.model).flags
    assert len(flags) == 1


def test_what_filters_said_is_bounded_and_the_newest_is_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 9: callers choose the filters."""
    monkeypatch.setattr("services.inference.filter_flags.MAX_BYTES", 0)
    flags = FilterFlags()
    for number in range(3 * MIN_KEPT):
        flags.get(number, lambda: np.zeros(8, dtype=np.bool_))
        flags.get(0, lambda: np.ones(8, dtype=np.bool_))
    assert len(flags) == MIN_KEPT
    assert flags.get(0, lambda: np.ones(8, dtype=np.bool_)).num_flagged == 0
