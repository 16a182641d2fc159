"""Filters: which items may be in a list, as flags that retrieval takes, so that k items come back whenever k exist."""

from collections.abc import Iterable, Iterator

import numpy as np

from services.domain.errors import InvalidRequest
from services.domain.items import Price
from services.domain.wishes import EVERYTHING, Boost, Filter, Wishes
from services.inference.availability import Unavailable
from services.inference.excluded import Flags
from services.inference.facts import KnownFacts
from services.inference.facts_table import CATEGORY, CURRENCY, Word, attribute
from services.inference.filter_flags import Flagged


def flagged(wanted: Filter, facts: KnownFacts, unavailable: Unavailable) -> Flagged:
    """What may not be shown: what is unavailable, and what the filter holds back. Worked out once and kept.

    While nothing is known of the items, a filter lets nothing through: no list may break what was asked for.
    """
    if wanted == EVERYTHING:
        return Flagged(unavailable.flags, len(unavailable.rows))

    def work_out() -> Flags:
        flags: Flags = ~allowed(wanted, facts) | unavailable.flags
        flags[0] = False
        return flags

    return facts.flags.get((unavailable.version, wanted), work_out)


def allowed(wanted: Filter, facts: KnownFacts) -> Flags:
    """Which rows fulfil the filter; row 0 is a row like others."""
    if not facts.is_known:
        return np.zeros(len(facts.table), dtype=np.bool_)
    flags = np.ones(len(facts.table), dtype=np.bool_)
    if wanted.any_categories:
        flags &= _with_any(facts, (Word(CATEGORY, each) for each in wanted.any_categories))
    for category in wanted.all_categories:
        flags &= _with_any(facts, iter([Word(CATEGORY, category)]))
    for category in wanted.no_categories:
        flags[facts.rows_of(Word(CATEGORY, category))] = False
    for each in wanted.attributes:
        flags &= _with_any(facts, (attribute(each.name, value) for value in each.values))
    if wanted.min_price is not None:
        flags &= _is_at_least(facts, wanted.min_price)
    if wanted.max_price is not None:
        flags &= _is_at_most(facts, wanted.max_price)
    return flags


def check_words(wishes: Wishes, facts: KnownFacts) -> None:
    """Raises InvalidRequest for a category that no item was ever heard to have; not while nothing is known."""
    check_filter(wishes.filter, facts)
    for number, boost in enumerate(wishes.boosts):
        _check_categories(f"boosts[{number}].category", {boost.category} - {""}, facts)
    for number, quota in enumerate(wishes.quotas):
        _check_categories(f"quotas[{number}].category", {quota.category} - {""}, facts)


def check_filter(wanted: Filter, facts: KnownFacts) -> None:
    """Raises InvalidRequest likewise."""
    _check_categories("filter.any_categories", wanted.any_categories, facts)
    _check_categories("filter.all_categories", wanted.all_categories, facts)
    _check_categories("filter.no_categories", wanted.no_categories, facts)


def _check_categories(field: str, categories: Iterable[str], facts: KnownFacts) -> None:
    for category in sorted(categories):
        if facts.is_known and not facts.knows(Word(CATEGORY, category)):
            raise InvalidRequest(field, f"names {category[:80]!r}, a category that no item was ever heard to have")


def boosted_words(boost: Boost) -> Iterator[Word]:
    """The words of which an item must have one to be boosted; none for a boost of items by their ids."""
    if boost.category:
        yield Word(CATEGORY, boost.category)
    if boost.attribute is not None:
        yield from (attribute(boost.attribute.name, value) for value in boost.attribute.values)


def _with_any(facts: KnownFacts, words: Iterator[Word]) -> Flags:
    flags = np.zeros(len(facts.table), dtype=np.bool_)
    for word in words:
        flags[facts.rows_of(word)] = True
    return flags


def _is_at_least(facts: KnownFacts, price: Price) -> Flags:
    table = facts.table
    more = (table.units > price.units) | ((table.units == price.units) & (table.nanos >= price.nanos))
    found: Flags = more & _in_currency(facts, price)
    return found


def _is_at_most(facts: KnownFacts, price: Price) -> Flags:
    table = facts.table
    less = (table.units < price.units) | ((table.units == price.units) & (table.nanos <= price.nanos))
    found: Flags = less & _in_currency(facts, price)
    return found


def _in_currency(facts: KnownFacts, price: Price) -> Flags:
    code = facts.words.get(Word(CURRENCY, price.currency_code))
    found: Flags = facts.table.currencies == (-2 if code is None else code)  # -1 is: without a price
    return found
