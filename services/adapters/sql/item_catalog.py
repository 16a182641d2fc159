"""The item catalog in the catalog database."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final, TypeVar

from sqlalchemy import Engine, func, select

from services.adapters.sql.engine import insert_into, transaction
from services.adapters.sql.tables import items as table
from services.domain.ids import ItemId
from services.domain.items import Item

_T = TypeVar("_T")

ROWS_PER_STATEMENT: Final = 1_000  # larger: SQLite's 32,766 parameters run out; smaller: more round trips


class SqlItemCatalog:
    """Fulfils ItemCatalog."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine

    def upsert(self, items: Sequence[Item]) -> None:
        newest: dict[ItemId, Item] = {}
        for item in items:
            known = newest.get(item.item_id)
            if known is None or item.update_time_us >= known.update_time_us:
                newest[item.item_id] = item
        # One order for all writers, so that two of them cannot hold a row that the other waits for.
        rows = [_row(newest[item_id]) for item_id in sorted(newest)]
        if not rows:
            return
        with transaction(self._engine) as connection:
            insert = insert_into(connection, table)
            new = insert.excluded
            statement = insert.on_conflict_do_update(
                index_elements=[table.c.item_id],
                set_={name: new[name] for name in ("title", "categories", "attributes", "update_time_us")},
                where=new.update_time_us >= table.c.update_time_us,
            )
            for batch in _batches(rows):
                connection.execute(statement, batch)

    def get(self, item_ids: Sequence[ItemId]) -> Mapping[ItemId, Item]:
        found: dict[ItemId, Item] = {}
        with transaction(self._engine) as connection:
            for batch in _batches(list(dict.fromkeys(item_ids))):
                for row in connection.execute(select(table).where(table.c.item_id.in_(batch))):
                    found[row.item_id] = Item(
                        item_id=row.item_id,
                        title=row.title,
                        categories=tuple(row.categories),
                        attributes=row.attributes,
                        update_time_us=row.update_time_us,
                    )
        return found

    def count(self) -> int:
        with transaction(self._engine) as connection:
            return connection.execute(select(func.count()).select_from(table)).scalar_one()


def _row(item: Item) -> dict[str, Any]:
    return {
        "item_id": item.item_id,
        "title": item.title.replace("\0", "\ufffd"),  # PostgreSQL stores no NUL; a title must not stop the writer
        "categories": list(item.categories),
        "attributes": dict(item.attributes),
        "update_time_us": item.update_time_us,
    }


def _batches(values: list[_T]) -> Iterator[list[_T]]:
    for start in range(0, len(values), ROWS_PER_STATEMENT):
        yield values[start : start + ROWS_PER_STATEMENT]
