"""The item catalog in the catalog database."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import (
    ColumnElement,
    Connection,
    Engine,
    Row,
    Text,
    case,
    cast,
    func,
    literal,
    or_,
    select,
    true,
    tuple_,
    update,
)

from services.adapters.sql.batches import batches
from services.adapters.sql.catalog_state import Versions, lock_catalog
from services.adapters.sql.engine import exclusive_transaction, insert_into, storable, transaction
from services.adapters.sql.tables import catalog_state
from services.adapters.sql.tables import items as table
from services.domain.ids import ItemId
from services.domain.items import (
    NO_FACTS,
    Availability,
    AvailabilityChanges,
    Facts,
    FactsMark,
    FactsPage,
    Item,
    Price,
)

PAGE_ROWS: Final = 10_000  # larger: more memory; smaller: more trips
_WINDOW: Final = (table.c.hidden, table.c.available_from_us, table.c.available_until_us)
_PRICE: Final = (table.c.price_currency_code, table.c.price_units, table.c.price_nanos)
_WORDS: Final = (table.c.categories, table.c.attributes, table.c.tags)


class SqlItemCatalog:
    """Fulfils ItemCatalog, ItemSource, AvailabilitySource and FactsSource."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def upsert(self, items: Sequence[Item]) -> int | None:
        newest: dict[ItemId, Item] = {}
        for item in items:
            known = newest.get(item.item_id)
            if known is None or item.update_time_us >= known.update_time_us:
                newest[item.item_id] = item
        if not newest:
            return None
        with exclusive_transaction(self._engine) as connection:
            versions = Versions(*(each + 1 for each in lock_catalog(connection)))
            # One order for all writers, so that two of them cannot hold a row that the other waits for.
            for batch in batches([_row(newest[item_id], versions) for item_id in sorted(newest)]):
                connection.execute(_upsert(connection, versions), batch)
            facts_changed = select(table.c.item_id).where(table.c.facts_version == versions.facts).exists()
            connection.execute(update(catalog_state).values(facts_version=versions.facts).where(facts_changed))
            changed = select(table.c.item_id).where(table.c.availability_version == versions.availability).exists()
            counting = update(catalog_state).values(availability_version=versions.availability).where(changed)
            return versions.availability if connection.execute(counting).rowcount else None

    def get(self, item_ids: Sequence[ItemId]) -> Mapping[ItemId, Item]:
        found: dict[ItemId, Item] = {}
        with transaction(self._engine) as connection:
            for batch in batches(list(dict.fromkeys(item_ids))):
                for row in connection.execute(select(table).where(table.c.item_id.in_(batch))):
                    found[row.item_id] = _item(row)
        return found

    def each(self) -> Iterator[Item]:
        after = ""
        while True:
            page = select(table).where(table.c.item_id > after).order_by(table.c.item_id).limit(PAGE_ROWS)
            with transaction(self._engine) as connection:
                rows = connection.execute(page).all()
            yield from map(_item, rows)
            if len(rows) < PAGE_ROWS:
                return
            after = rows[-1].item_id

    def count(self) -> int:
        with transaction(self._engine) as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()

    def availability_since(self, version: int) -> AvailabilityChanges:
        # One statement sees one moment: no item of a version later than the one it is returned with.
        query = select(catalog_state.c.availability_version.label("version"), table.c.item_id, *_WINDOW).select_from(
            catalog_state.outerjoin(table, table.c.availability_version > version)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        return AvailabilityChanges(
            version=rows[0].version if rows else 0,
            items={ItemId(row.item_id): _availability(row) for row in rows if row.item_id is not None},
        )

    def facts_since(self, mark: FactsMark, limit: int) -> FactsPage:
        # As one comparison of pairs, both databases seek it in the index. Version 0 is that of items without facts.
        later = tuple_(table.c.facts_version, table.c.item_id) > tuple_(
            literal(max(mark.version, 1)), literal(mark.item_id)
        )
        columns = (table.c.item_id, table.c.facts_version, *_WORDS, *_PRICE)
        changed = select(*columns).where(later).order_by(table.c.facts_version, table.c.item_id).limit(limit).subquery()
        # One statement sees one moment, as above. The order is the database's own: it may sort otherwise than we do.
        query = (
            select(catalog_state.c.facts_version.label("newest"), *changed.c)
            .select_from(catalog_state.outerjoin(changed, true()))
            .order_by(changed.c.facts_version, changed.c.item_id)
        )
        with transaction(self._engine) as connection:
            rows = connection.execute(query).all()
        found = [row for row in rows if row.item_id is not None]
        return FactsPage(
            version=rows[0].newest if rows else 0,
            items={ItemId(row.item_id): _facts(row) for row in found},
            mark=FactsMark(found[-1].facts_version, found[-1].item_id) if found else mark,
            is_last=len(found) < limit,
        )


def _upsert(connection: Connection, versions: Versions) -> Any:
    insert = insert_into(connection, table)
    new = insert.excluded
    changes = or_(*(new[column.name].is_distinct_from(column) for column in _WINDOW))
    other_words = (cast(new[column.name], Text).is_distinct_from(cast(column, Text)) for column in _WORDS)
    other_facts = or_(*other_words, *(new[column.name].is_distinct_from(column) for column in _PRICE))
    values: dict[str, ColumnElement[Any]] = {
        column.name: new[column.name] for column in table.columns if column is not table.c.item_id
    }
    values["availability_version"] = case((changes, versions.availability), else_=table.c.availability_version)
    values["facts_version"] = case((other_facts, versions.facts), else_=table.c.facts_version)
    return insert.on_conflict_do_update(
        index_elements=[table.c.item_id], set_=values, where=new.update_time_us >= table.c.update_time_us
    )


def _row(item: Item, versions: Versions) -> dict[str, Any]:
    """versions: those that this item is new in, if it is new; nobody needs to hear of one that is always available."""
    availability, price = item.availability, item.price
    return {
        "item_id": item.item_id,
        "title": storable(item.title),
        "categories": list(item.categories),
        "attributes": dict(sorted(item.attributes.items())),  # the order in a message says nothing, and is no change
        "update_time_us": item.update_time_us,
        "description": storable(item.description),
        "tags": list(item.tags),
        "price_currency_code": None if price is None else price.currency_code,
        "price_units": None if price is None else price.units,
        "price_nanos": None if price is None else price.nanos,
        "hidden": availability.hidden,
        "available_from_us": availability.from_us,
        "available_until_us": availability.until_us,
        "embedding": np.array(item.embedding, dtype="<f4").tobytes() if item.embedding else None,
        "availability_version": versions.availability if availability.is_restricted else 0,
        "facts_version": versions.facts if Facts.of(item) != NO_FACTS else 0,
    }


def _item(row: Row[Any]) -> Item:
    return Item(
        item_id=row.item_id,
        title=row.title,
        categories=tuple(row.categories),
        attributes=row.attributes,
        update_time_us=row.update_time_us,
        description=row.description,
        tags=tuple(row.tags),
        price=_price(row),
        availability=_availability(row),
        embedding=() if row.embedding is None else tuple(np.frombuffer(row.embedding, dtype="<f4").tolist()),
    )


def _facts(row: Row[*tuple[Any, ...]]) -> Facts:
    return Facts(tuple(row.categories), row.attributes, tuple(row.tags), _price(row))


def _price(row: Row[*tuple[Any, ...]]) -> Price | None:
    has_one = row.price_currency_code is not None
    return Price(row.price_currency_code, row.price_units, row.price_nanos) if has_one else None


def _availability(row: Row[*tuple[Any, ...]]) -> Availability:
    return Availability(row.hidden, row.available_from_us, row.available_until_us)
