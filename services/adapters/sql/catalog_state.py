"""The one row that counts the changes of the items' availability, and that the catalog's writers take turns by."""

from sqlalchemy import Connection, select

from services.adapters.sql.tables import catalog_state


def lock_catalog(connection: Connection) -> int:
    """The present version of the catalog. No other writer of items or users goes on until this transaction is over.

    On SQLite the transaction must be an `exclusive_transaction`, which is what keeps the others out there.
    """
    version: int = connection.execute(select(catalog_state.c.availability_version).with_for_update()).scalar_one()
    return version
