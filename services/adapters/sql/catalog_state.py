"""The one row that counts the changes of the items' availability and facts; the catalog's writers take turns by it."""

from typing import NamedTuple

from sqlalchemy import Connection, select

from services.adapters.sql.tables import catalog_state


class Versions(NamedTuple):
    availability: int
    facts: int


def lock_catalog(connection: Connection) -> Versions:
    """The present versions of the catalog. No other writer of items or users goes on until this transaction is over.

    On SQLite the transaction must be an `exclusive_transaction`, which is what keeps the others out there.
    """
    query = select(catalog_state.c.availability_version, catalog_state.c.facts_version).with_for_update()
    return Versions(*connection.execute(query).one())
