"""Wishes are told apart by their fingerprint, in any process and whatever the order they were said in."""

from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.ids import ItemId
from services.domain.items import Price
from services.domain.wishes import (
    NO_WISHES,
    Attribute,
    Boost,
    Filter,
    MustInclude,
    Quota,
    Wishes,
    fingerprint,
)

WORD = st.text(max_size=3)
WORDS = st.frozensets(WORD, max_size=3)
PRICE = st.none() | st.builds(Price, st.sampled_from(["EUR", "USD"]), st.integers(0, 3), st.integers(0, 3))
ATTRIBUTE = st.builds(Attribute, WORD, WORDS)
WEIGHT = st.sampled_from([0.0, 1.0, 1.5])
WISHES = st.builds(
    Wishes,
    filter=st.builds(Filter, WORDS, WORDS, WORDS, st.frozensets(ATTRIBUTE, max_size=2), PRICE, PRICE),
    boosts=st.lists(
        st.builds(Boost, WEIGHT, st.frozensets(WORD.map(ItemId), max_size=2), WORD, st.none() | ATTRIBUTE), max_size=2
    ).map(tuple),
    must_include=st.lists(st.builds(MustInclude, WORD.map(ItemId), st.none() | st.integers(1, 3)), max_size=2).map(
        tuple
    ),
    quotas=st.lists(st.builds(Quota, st.integers(0, 2), WORD), max_size=2).map(tuple),
    diversity=WEIGHT,
    context=st.lists(WORD.map(ItemId), max_size=2).map(tuple),
    surface=WORD,
    is_paged=st.booleans(),
)


@settings(max_examples=300)
@given(WISHES, WISHES)
def test_two_wishes_share_a_fingerprint_exactly_when_they_are_equal(one: Wishes, other: Wishes) -> None:
    assert (one.fingerprint == other.fingerprint) == (one == other)
    assert replace(one).fingerprint == one.fingerprint


@given(WISHES)
def test_the_order_in_which_words_are_said_is_nothing(wishes: Wishes) -> None:
    again = replace(
        wishes,
        filter=replace(wishes.filter, any_categories=frozenset(sorted(wishes.filter.any_categories, reverse=True))),
    )
    assert again.fingerprint == wishes.fingerprint
    assert hash(again) == hash(wishes)


def test_it_is_the_same_in_any_process() -> None:
    """Replicas share a cache: it must not hang on how Python hashes text today."""
    wishes = Wishes(Filter(frozenset({"a", "b", "c"}), min_price=Price("EUR", 1)), (Boost(2.0, category="x"),))
    assert wishes.fingerprint == "904bda416c7a5b4599e05d10972be53e"
    assert NO_WISHES.fingerprint == ""


@given(st.lists(WORD, max_size=3), st.lists(WORD, max_size=3))
def test_no_two_lists_run_together(one: list[str], other: list[str]) -> None:
    assert (fingerprint(tuple(one)) == fingerprint(tuple(other))) == (one == other)


def test_what_is_known_of_items_decides_only_where_it_is_asked() -> None:
    assert not any(
        each.asks_facts
        for each in (
            NO_WISHES,
            Wishes(boosts=(Boost(2.0, frozenset({ItemId("a")})),)),
            Wishes(diversity=0.5, surface="home", is_paged=True, context=(ItemId("a"),)),
        )
    )
    assert all(
        each.asks_facts
        for each in (
            Wishes(Filter(no_categories=frozenset("a"))),
            Wishes(quotas=(Quota(1),)),
            Wishes(boosts=(Boost(2.0, attribute=Attribute("a", frozenset("b"))),)),
        )
    )
