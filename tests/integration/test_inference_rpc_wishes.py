"""What a product asks for in one call, over the wire: rules, filters, pages, reasons, and wishes that are wrong."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
from google.protobuf.duration_pb2 import Duration
from grpc import StatusCode

from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.item_pb2 import Price
from services.domain import items
from services.domain.ids import ItemId, UserId
from services.domain.items import Facts
from services.domain.pages import Page
from services.inference.facts import CatalogFacts
from tests.fakes.clock import START
from tests.fakes.history_reader import history_of
from tests.fakes.tiny_bundle import item_vectors
from tests.integration.serving_bench import ServingBench, failure, serving


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[ServingBench]:
    """Version v1 is live, and v2 could be."""
    async with serving(tmp_path) as bench:
        bench.publish("v1", item_vectors(1), age_s=3)
        bench.publish("v2", item_vectors(2), age_s=2)
        await bench.promote("v1")
        yield bench


def asking(**fields: Any) -> wire.RecommendRequest:
    return wire.RecommendRequest(user_id="ann", **fields)


def told(*item_ids: str, category: str, price: int = 5) -> dict[ItemId, Facts]:
    return {ItemId(each): Facts((category,), {"brand": category}, (), items.Price("EUR", price)) for each in item_ids}


async def test_one_call_takes_all_a_product_asks_for(bench: ServingBench) -> None:
    bench.histories.histories[UserId("ann")] = history_of("item-3", consumed=("item-3",))
    facts = told("item-1", "item-2", "item-3", "item-4", category="art") | told("item-5", "item-6", category="dogs")
    bench.facts.replace(CatalogFacts.empty().after(1, facts), ())
    request = asking(
        k=3,
        filter=wire.Filter(
            any_categories=["art", "dogs"],
            attributes=[wire.AttributeFilter(name="brand", values=["art", "dogs"])],
            min_price=Price(currency_code="EUR", units=4, nanos=500_000_000),
            max_price=Price(currency_code="EUR", units=5),
        ),
        boosts=[wire.Boost(weight=2.5, attribute=wire.AttributeFilter(name="brand", values=["dogs"]))],
        must_include=[wire.MustInclude(item_id="item-3", position=2), wire.MustInclude(item_id="nowhere")],
        quotas=[wire.CategoryQuota(category="art", max_items=2)],
        diversity=0.3,
        context_item_ids=["item-6"],
        surface="home",
        paged=True,
        explain=True,
    )
    first = await bench.recommendations.Recommend(request)
    assert [item.rank for item in first.items] == [1, 2, 3]
    assert (first.items[1].item_id, first.items[1].source) == ("item-3", wire.SOURCE_RULE)
    assert list(first.items[1].explanation.rules) == ["must_include[0]"]
    assert {*first.items[0].explanation.rules} >= {"filter", "diversity", "quotas"}
    assert [each.item_id for each in first.items[0].explanation.influences] == ["item-3"]
    assert [(each.item_id, each.reason) for each in first.left_out] == [
        ("nowhere", wire.NOT_RANKED_REASON_UNKNOWN_ITEM)
    ]
    found = [item.item_id for item in first.items]
    token = first.next_page_token
    while token:
        request.page_token = token
        page = await bench.recommendations.Recommend(request)
        found += [item.item_id for item in page.items]
        token = page.next_page_token
    assert "item-6" not in found
    assert len(found) == len(set(found)) == 3
    assert {"item-3", "item-5"} < set(found), "and one more of the arts, as the quota has it"


async def test_a_page_of_another_history_has_a_reason_of_its_own(bench: ServingBench) -> None:
    bench.histories.histories[UserId("ann")] = history_of("item-3")
    first = await bench.recommendations.Recommend(asking(k=2, paged=True))
    for _ in range(2):
        again = await bench.recommendations.Recommend(asking(k=2, page_token=first.next_page_token))
        assert len(again.items) == 2
    await bench.promote("v2")
    code, sentence, details = await failure(
        bench.recommendations.Recommend(asking(k=2, page_token=first.next_page_token))
    )
    assert (code, details["ErrorInfo"].reason) == (StatusCode.FAILED_PRECONDITION, "PAGE_EXPIRED")
    assert "first page again" in sentence


async def test_what_is_shown_of_a_page_does_not_move_the_next_one(bench: ServingBench) -> None:
    """Over the wire: the token knows when the first page was asked for."""
    ann, now_us = UserId("ann"), int(START.timestamp() * 1_000_000)
    bench.histories.histories[ann] = history_of("item-3")
    request = asking(k=2, paged=True, seen_policy=wire.SEEN_POLICY_EXCLUDE_SHOWN, shown_within=Duration(seconds=60))
    first = await bench.recommendations.Recommend(request)
    bench.histories.shown[ann] = {ItemId(item.item_id): now_us + 5 for item in first.items}
    request.page_token = first.next_page_token
    second = await bench.recommendations.Recommend(request)
    assert not {item.item_id for item in first.items} & {item.item_id for item in second.items}
    assert len(second.items) == 2


async def test_a_visitor_without_a_name_may_just_look_at_an_item(bench: ServingBench) -> None:
    reply = await bench.recommendations.Recommend(wire.RecommendRequest(context_item_ids=["item-2"], k=3))
    assert {item.source for item in reply.items} == {wire.SOURCE_POPULAR, wire.SOURCE_SIMILAR}


async def test_lists_per_category_are_of_what_is_popular_and_similar_too(bench: ServingBench) -> None:
    bench.facts.replace(CatalogFacts.empty().after(1, told("item-5", "new", category="dogs")), ())
    bench.counters.said = [(ItemId("item-1"), 9.0), (ItemId("new"), 4.5), (ItemId("item-5"), 2.0)]
    dogs = wire.Filter(any_categories=["dogs"])
    popular = await bench.recommendations.PopularItems(wire.PopularItemsRequest(filter=dogs))
    assert [item.item_id for item in popular.items] == ["new", "item-5"]
    similar = await bench.recommendations.SimilarItems(wire.SimilarItemsRequest(item_id="item-1", filter=dogs))
    assert [item.item_id for item in similar.items] == ["item-5"]


@pytest.mark.parametrize(
    ("method", "request_", "field"),
    [
        ("Recommend", asking(filter=wire.Filter(any_categories=["a", ""])), "filter.any_categories[1]"),
        ("Recommend", asking(filter=wire.Filter(no_categories=["a"] * 65)), "filter.no_categories"),
        ("Recommend", asking(filter=wire.Filter(all_categories=["x" * 10_000])), "filter.all_categories[0]"),
        ("Recommend", asking(filter=wire.Filter(any_categories=["never heard of"])), "filter.any_categories"),
        ("Recommend", asking(filter=wire.Filter(attributes=[wire.AttributeFilter(name="a")])),
         "filter.attributes[0].values"),
        ("Recommend", asking(filter=wire.Filter(attributes=[wire.AttributeFilter(values=["a"])])),
         "filter.attributes[0].name"),
        ("Recommend", asking(filter=wire.Filter(min_price=Price(currency_code="eur"))),
         "filter.min_price.currency_code"),
        ("Recommend", asking(filter=wire.Filter(max_price=Price(currency_code="EUR", units=-1))),
         "filter.max_price.units"),
        ("Recommend", asking(filter=wire.Filter(max_price=Price(currency_code="EUR", nanos=-1))),
         "filter.max_price.nanos"),
        ("Recommend", asking(filter=wire.Filter(min_price=Price(currency_code="EUR", units=2),
         max_price=Price(currency_code="EUR", units=1))), "filter.max_price"),
        ("Recommend", asking(filter=wire.Filter(min_price=Price(currency_code="EUR"),
         max_price=Price(currency_code="USD"))), "filter.max_price"),
        *[("Recommend", asking(boosts=[wire.Boost(category="a", weight=weight)]), "boosts[0].weight")
          for weight in (-0.1, float("nan"), float("inf"), float("-inf"), 1_000.1, None)],
        ("Recommend", asking(boosts=[wire.Boost(weight=1)]), "boosts[0].target"),
        ("Recommend", asking(boosts=[wire.Boost(weight=1, category="a")] * 9), "boosts"),
        ("Recommend", asking(boosts=[wire.Boost(weight=1, items=wire.ItemIds())]), "boosts[0].items.item_ids"),
        ("Recommend", asking(boosts=[wire.Boost(weight=1, items=wire.ItemIds(item_ids=["x" * 10_000]))]),
         "boosts[0].items.item_ids[0]"),
        ("Recommend", asking(boosts=[wire.Boost(weight=1, category="never heard of")]), "boosts[0].category"),
        ("Recommend", asking(must_include=[wire.MustInclude()]), "must_include[0].item_id"),
        ("Recommend", asking(must_include=[wire.MustInclude(item_id="a", position=0)]), "must_include[0].position"),
        ("Recommend", asking(must_include=[wire.MustInclude(item_id="a", position=501)]), "must_include[0].position"),
        ("Recommend", asking(must_include=[wire.MustInclude(item_id="a")] * 2), "must_include[1].item_id"),
        ("Recommend", asking(must_include=[wire.MustInclude(item_id="a", position=1),
         wire.MustInclude(item_id="b", position=1)]), "must_include[1].position"),
        ("Recommend", asking(must_include=[wire.MustInclude(item_id="a")], exclude_item_ids=["a"]),
         "must_include[0].item_id"),
        ("Recommend", asking(must_include=[wire.MustInclude(item_id=str(number)) for number in range(51)]),
         "must_include"),
        ("Recommend", asking(quotas=[wire.CategoryQuota()]), "quotas[0].max_items"),
        ("Recommend", asking(quotas=[wire.CategoryQuota(max_items=501)]), "quotas[0].max_items"),
        ("Recommend", asking(quotas=[wire.CategoryQuota(max_items=1, category="unheard of")]), "quotas[0].category"),
        *[("Recommend", asking(diversity=weight), "diversity") for weight in (-0.1, 1.1, float("nan"), float("inf"))],
        ("Recommend", asking(surface="a\nb"), "surface"),
        ("Recommend", asking(context_item_ids=["a", "x" * 10_000]), "context_item_ids[1]"),
        ("Recommend", asking(context_item_ids=map(str, range(21))), "context_item_ids"),
        *[("Recommend", asking(page_token=token), "page_token")
          for token in ("broken", "é", "x" * 10_000, Page(5, 0, b"12345678", b"12345678").token,
                        Page(5, 0, b"12345678", b"12345678").token[:-3] + "AAA")],
        ("PopularItems", wire.PopularItemsRequest(filter=wire.Filter(any_categories=["never heard of"])),
         "filter.any_categories"),
        ("SimilarItems", wire.SimilarItemsRequest(item_id="item-1", filter=wire.Filter(any_categories=[""])),
         "filter.any_categories[0]"),
    ],
)  # fmt: skip
async def test_a_bad_wish_is_an_invalid_argument_that_names_the_field(
    bench: ServingBench, method: str, request_: Any, field: str
) -> None:
    code, sentence, details = await failure(getattr(bench.recommendations, method)(request_))
    assert code is StatusCode.INVALID_ARGUMENT
    assert sentence.startswith(f"{field} ")
    assert [violation.field for violation in details["BadRequest"].field_violations] == [field]
