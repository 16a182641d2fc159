"""The flags of `nightjar recommend` that say what a list is to be like, as the SDK's wishes."""

import math
from collections import defaultdict
from collections.abc import Sequence

import typer

from nightjar import Boost, Filter, InvalidField, MustInclude, Price, Quota


def filter_of(
    categories: Sequence[str],
    without: Sequence[str],
    attributes: Sequence[str],
    min_price: str | None,
    max_price: str | None,
) -> Filter | None:
    """None where nothing is filtered; raises BadParameter."""
    if not (categories or without or attributes or min_price or max_price):
        return None
    values = defaultdict[str, list[str]](list)
    for each in attributes:
        name, value = _pair(each, "--attribute", "NAME=VALUE, such as brand=acme")
        values[name].append(value)
    return Filter(
        any_categories=tuple(categories),
        no_categories=tuple(without),
        attributes=values,
        min_price=_price(min_price, "--min-price"),
        max_price=_price(max_price, "--max-price"),
    )


def boosts_of(values: Sequence[str]) -> list[Boost]:
    """`category:art=2`, `item:50=0.5`, or with the name of an attribute `brand:acme=3`; raises BadParameter."""
    return [_boost(value) for value in values]


def required_of(values: Sequence[str]) -> list[MustInclude]:
    """`ITEM`, or with a place `ITEM@3`; raises BadParameter."""
    found = list[MustInclude]()
    for value in values:
        item_id, at, position = value.rpartition("@")
        if not at:
            found.append(MustInclude(value))
        elif position.isdecimal() and item_id:
            found.append(MustInclude(item_id, int(position)))
        else:
            raise typer.BadParameter(f"{value!r} is not ITEM or ITEM@PLACE", param_hint="--include")
    return found


def quotas_of(values: Sequence[str]) -> list[Quota]:
    """`2` for each category, or of one `art=2`; raises BadParameter."""
    found = list[Quota]()
    for value in values:
        category, _, most = value.rpartition("=")
        if not most.isdecimal():
            raise typer.BadParameter(f"{value!r} is not N or CATEGORY=N", param_hint="--quota")
        found.append(Quota(int(most), category))
    return found


def _boost(value: str) -> Boost:
    hint = "category:NAME=WEIGHT, item:ID=WEIGHT or ATTRIBUTE:VALUE=WEIGHT"
    target, weight = _pair(value, "--boost", hint)
    kind, colon, name = target.partition(":")
    try:
        number = float(weight)
    except ValueError:
        number = math.nan
    if not colon or not kind or not name or math.isnan(number):
        raise typer.BadParameter(f"{value!r} is not {hint}", param_hint="--boost")
    if kind == "category":
        return Boost(number, category=name)
    return Boost(number, item_ids=[name]) if kind == "item" else Boost(number, attribute=kind, values=[name])


def _pair(value: str, flag: str, hint: str) -> tuple[str, str]:
    name, equals, text = value.rpartition("=") if flag == "--boost" else value.partition("=")
    if not equals or not name:
        raise typer.BadParameter(f"{value!r} is not {hint}", param_hint=flag)
    return name, text


def _price(value: str | None, flag: str) -> Price | None:
    if value is None:
        return None
    amount, _, currency = value.partition(" ")
    try:
        price = Price.of(amount, currency)
    except InvalidField as error:
        raise typer.BadParameter(str(error), param_hint=flag) from error
    if not currency:
        raise typer.BadParameter(f"{value!r} names no currency; write it like '12.99 EUR'", param_hint=flag)
    return price
