"""Brings the catalog database's tables up to this version of the code."""

from pathlib import Path
from typing import Final

from alembic import command
from alembic.config import Config
from alembic.util import CommandError
from sqlalchemy import func, select

from services.adapters.sql.engine import connect, exclusive_transaction, without_statement_timeout
from services.domain.errors import StartFailed

MIGRATIONS: Final = Path(__file__).parent / "migrations"
LOCK_KEY: Final = 0x6E6967687A72  # any constant; all Nightjars on one PostgreSQL database share it


def upgrade(url: str) -> None:
    """Runs the missing migrations in one transaction; blocks while another process does. May be repeated.

    Raises CatalogDown when the database is gone, StartFailed when a newer Nightjar has changed it.
    """
    engine = connect(url)
    try:
        with exclusive_transaction(engine) as connection:
            without_statement_timeout(connection)  # neither the lock's wait nor a large table is a fault
            if connection.dialect.name == "postgresql":
                connection.execute(select(func.pg_advisory_xact_lock(LOCK_KEY)))
            config = Config()
            config.set_main_option("script_location", str(MIGRATIONS).replace("%", "%%"))
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
    except CommandError as error:
        raise StartFailed(
            f"The catalog database was changed by a newer Nightjar ({error}); install that version or a newer one."
        ) from error
    finally:
        engine.dispose()
