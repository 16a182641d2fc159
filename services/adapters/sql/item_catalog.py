"""The item catalog in the catalog database."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

import numpy as np
from sqlalchemy import ColumnElement, Connection, Engine, Row, case, func, or_, select, update

from services.adapters.sql.batches import batches
from services.adapters.sql.catalog_state import lock_catalog
from services.adapters.sql.engine import exclusive_transaction, insert_into, storable, transaction
from services.adapters.sql.tables import catalog_state
from services.adapters.sql.tables import items as table
from services.domain.ids import ItemId
from services.domain.items import Availability, AvailabilityChanges, Item, Price

PAGE_ROWS: Final = 10_000  # larger: more memory; smaller: more trips
_WINDOW: Final = (table.c.hidden, table.c.available_from_us, table.c.available_until_us)


class SqlItemCatalog:
    """Fulfils ItemCatalog, ItemSource and AvailabilitySource."""

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
            version = lock_catalog(connection) + 1
            # One order for all writers, so that two of them cannot hold a row that the other waits for.
            for batch in batches([_row(newest[item_id], version) for item_id in sorted(newest)]):
                connection.execute(_upsert(connection, version), batch)
            changed = select(table.c.item_id).where(table.c.availability_version == version).exists()
            counting = update(catalog_state).values(availability_version=version).where(changed)
            return version if connection.execute(counting).rowcount else None

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


def _upsert(connection: Connection, version: int) -> Any:
    insert = insert_into(connection, table)
    new = insert.excluded
    changes = or_(*(new[column.name].is_distinct_from(column) for column in _WINDOW))
    values: dict[str, ColumnElement[Any]] = {
        column.name: new[column.name] for column in table.columns if column is not table.c.item_id
    }
    values["availability_version"] = case((changes, version), else_=table.c.availability_version)
    return insert.on_conflict_do_update(
        index_elements=[table.c.item_id], set_=values, where=new.update_time_us >= table.c.update_time_us
    )


def _row(item: Item, version: int) -> dict[str, Any]:
    """`version`: the one that this item is new in, if it is new; nobody needs to hear of one that is available."""
    availability, price = item.availability, item.price
    return {
        "item_id": item.item_id,
        "title": storable(item.title),
        "categories": list(item.categories),
        "attributes": dict(item.attributes),
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
        "availability_version": version if availability.is_restricted else 0,
    }


def _item(row: Row[Any]) -> Item:
    has_price = row.price_currency_code is not None
    return Item(
        item_id=row.item_id,
        title=row.title,
        categories=tuple(row.categories),
        attributes=row.attributes,
        update_time_us=row.update_time_us,
        description=row.description,
        tags=tuple(row.tags),
        price=Price(row.price_currency_code, row.price_units, row.price_nanos) if has_price else None,
        availability=_availability(row),
        embedding=() if row.embedding is None else tuple(np.frombuffer(row.embedding, dtype="<f4").tolist()),
    )


def _availability(row: Row[*tuple[Any, ...]]) -> Availability:
    return Availability(row.hidden, row.available_from_us, row.available_until_us)
