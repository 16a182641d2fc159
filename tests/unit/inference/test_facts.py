"""What a worker knows of items: columns that say what was told, whatever came before."""

import string

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from services.domain.ids import ItemId
from services.domain.items import NO_FACTS, Facts, Price
from services.inference import facts as facts_module
from services.inference.facts import CatalogFacts, FactsSlot
from services.inference.facts_table import CATEGORY, CURRENCY, TAG, Word, attribute
from services.inference.serving_model import ServingModel
from tests.fakes.facts import catalog_of

WORDS = st.sampled_from(["a", "b", "c", "d"])
FACTS = st.builds(
    Facts,
    categories=st.lists(WORDS, max_size=3).map(tuple),
    attributes=st.dictionaries(WORDS, WORDS, max_size=2),
    tags=st.lists(WORDS, max_size=2).map(tuple),
    price=st.none()
    | st.builds(Price, st.sampled_from(["EUR", "USD"]), st.integers(0, 2**62), st.integers(0, 999_999_999)),
)
ITEMS = st.dictionaries(st.sampled_from(string.ascii_lowercase).map(ItemId), FACTS, max_size=6)


def told(catalog: CatalogFacts, item_id: str) -> Facts:
    """Read back out of the columns, word by word."""
    known = catalog.of_items([ItemId("other"), ItemId(item_id)])
    have = {
        (kind, word, value)
        for kind in (CATEGORY, TAG)
        for word in "abcd"
        for value in [""]
        if 1 in known.rows_of(Word(kind, word))
    }
    pairs = {(word, value) for word in "abcd" for value in "abcd" if 1 in known.rows_of(attribute(word, value))}
    code = known.table.currencies[1]
    (currency,) = [each for each in ("EUR", "USD") if known.words.get(Word(CURRENCY, each)) == code] or [""]
    price = Price(currency, int(known.table.units[1]), int(known.table.nanos[1])) if code >= 0 else None
    return Facts(
        tuple(sorted(word for kind, word, _ in have if kind == CATEGORY)),
        dict(pairs),
        tuple(sorted(word for kind, word, _ in have if kind == TAG)),
        price,
    )


def plain(facts: Facts) -> Facts:
    """Each word once, in order: all that filters ask."""
    return Facts(tuple(sorted(set(facts.categories))), facts.attributes, tuple(sorted(set(facts.tags))), facts.price)


@settings(max_examples=60, deadline=None)
@given(st.lists(ITEMS, max_size=4))
def test_after_any_changes_every_item_has_what_was_said_last(changes: list[dict[ItemId, Facts]]) -> None:
    catalog, expected = CatalogFacts.empty(), dict[ItemId, Facts]()
    for version, items in enumerate(changes, start=1):
        catalog = catalog.after(version, items)
        expected |= items
    for item_id in string.ascii_lowercase:
        assert told(catalog, item_id) == plain(expected.get(ItemId(item_id), NO_FACTS))


@settings(max_examples=60, deadline=None)
@given(ITEMS, st.lists(ITEMS, max_size=3))
def test_the_fingerprint_is_of_what_is_known_and_not_of_how_it_was_heard(
    items: dict[ItemId, Facts], before: list[dict[ItemId, Facts]]
) -> None:
    """Law 2: replicas share cached answers exactly where they know the same."""
    catalog = CatalogFacts.empty()
    for version, each in enumerate(before):
        catalog = catalog.after(version, each)
    forgotten = {item_id: NO_FACTS for each in before for item_id in each}
    catalog = catalog.after(9, forgotten | items)
    at_once = CatalogFacts.empty().after(1, dict(reversed(items.items())))
    assert catalog.fingerprint == at_once.fingerprint
    changed = catalog.after(10, {ItemId("a"): Facts(("new",))})
    assert changed.fingerprint != catalog.fingerprint


def test_an_earlier_state_stays_what_it_was() -> None:
    """A request that began on it goes on."""
    first = catalog_of({"a": Facts(("x",))})
    known = first.of_items([ItemId("a"), ItemId("b")])
    first.after(2, {ItemId("a"): Facts(("y",)), ItemId("b"): Facts(("x",))})
    assert known.rows_of(Word(CATEGORY, "x")).tolist() == [0]
    again = first.of_items([ItemId("a"), ItemId("b")])
    assert again.rows_of(Word(CATEGORY, "x")).tolist() == [0]
    assert again.rows_of(Word(CATEGORY, "y")).tolist() == []


def test_words_that_no_item_has_any_more_are_let_go() -> None:
    """Law 9: a stock count as an attribute is another word at each change."""
    catalog = catalog_of({"a": Facts(("x",), price=Price("EUR", 5)), "b": Facts(attributes={"n": "-1"})})
    for number in range(2 * facts_module.SPARE_WORDS):
        catalog = catalog.after(number, {ItemId("b"): Facts(("x",), {"n": str(number)})})
        assert len(catalog.words) <= facts_module.SPARE_WORDS + 10
    known = catalog.of_items([ItemId("a"), ItemId("b")])
    assert known.rows_of(Word(CATEGORY, "x")).tolist() == [0, 1]
    assert known.rows_of(attribute("n", str(2 * facts_module.SPARE_WORDS - 1))).tolist() == [1]
    assert known.table.currencies.tolist() == [known.words.get(Word(CURRENCY, "EUR")), -1]


def test_the_slot_tells_of_a_models_rows_what_is_known_now(model: ServingModel, other_model: ServingModel) -> None:
    slot = FactsSlot()
    assert slot.catalog is None
    assert not slot.of(model).is_known
    slot.replace(catalog_of({"item-2": Facts(("x",)), "elsewhere": Facts(("x",))}), [model])
    assert slot.of(model) is slot.of(model)
    assert slot.of(model).is_known
    for each in (model, other_model):
        assert slot.of(each).rows_of(Word(CATEGORY, "x")).tolist() == [2]
    slot.replace(catalog_of({"item-3": Facts(("x",))}), [])
    assert slot.of(model).rows_of(Word(CATEGORY, "x")).tolist() == [3]


def test_categories_are_told_apart_from_other_words() -> None:
    known = catalog_of({"a": Facts(("x", "y"), {"k": "x"}, ("x",)), "b": Facts(("y",))}).of_items(
        [ItemId("a"), ItemId("b"), ItemId("c")]
    )
    x, y = (known.words.get(Word(CATEGORY, each)) for each in "xy")
    assert [known.categories_of(row) for row in range(3)] == [{x, y}, {y}, set()]
    assert np.diff(known.table.starts).tolist() == [4, 1, 0]
