"""How the catalog database is reached, and the one place where its failures become CatalogDown.

SQLite is opened in WAL mode with foreign keys on; transactions begin when SQLAlchemy says so (the driver's own habit
of beginning late would leave DDL outside of them). PostgreSQL is spoken to through psycopg 3, and every wait for it has
an end: for a server that does not answer, a network that swallows packets, and a statement that hangs.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from sqlalchemy import URL, Connection, Engine, Table, create_engine, event, make_url, text
from sqlalchemy.dialects import postgresql, sqlite
from sqlalchemy.exc import ArgumentError, DatabaseError, DBAPIError, InterfaceError, OperationalError
from sqlalchemy.exc import TimeoutError as PoolTimeoutError

from services.domain.errors import CatalogDown, InvalidSettings

CONNECT_TIMEOUT_S: Final = 5  # larger: a dead server holds every caller up; smaller: a busy one looks dead
BUSY_TIMEOUT_S: Final = 10  # larger: a stuck writer blocks readers of its lock; smaller: spurious "database is locked"
STATEMENT_TIMEOUT_S: Final = 10  # larger: a lock held by others stalls us for longer; smaller: large batches fail
TCP_USER_TIMEOUT_S: Final = 10  # sent, unacknowledged; larger: a lost network is seen late; smaller: a hiccup cuts
KEEPALIVE_IDLE_S: Final = 5  # silence before the first probe; larger: as above; smaller: traffic for nothing
KEEPALIVE_INTERVAL_S: Final = 3  # between probes; larger: as above; smaller: probes are lost with one hiccup
KEEPALIVE_COUNT: Final = 3  # unanswered probes that end a connection; larger and smaller: as above
UNDEFINED: Final = frozenset({"42P01", "42703"})  # PostgreSQL's SQLSTATEs of a table and a column that is not there
BEGIN_OPTION: Final = "sqlite_begin"
"""Execution option of a connection: the statement its SQLite transactions begin with."""


def connect(url: str) -> Engine:
    """An engine for a SQLAlchemy URL; for SQLite the folder is created. No server is asked yet.

    Raises InvalidSettings for a URL that is neither SQLite nor PostgreSQL, CatalogDown when the folder cannot be made.
    """
    address = _parse(url)
    if address.get_backend_name() == "sqlite":
        return _open_sqlite(address)
    return _open_postgres(address)


@contextmanager
def transaction(engine: Engine) -> Iterator[Connection]:
    """A connection in one transaction, committed at the end; raises CatalogDown when the database is gone."""
    with _translated(engine.url), engine.begin() as connection:
        yield connection


@contextmanager
def exclusive_transaction(engine: Engine) -> Iterator[Connection]:
    """Like `transaction`, but on SQLite no other process writes meanwhile, not even between reads."""
    with _translated(engine.url), engine.connect() as connection:
        connection.execution_options(**{BEGIN_OPTION: "BEGIN IMMEDIATE"})
        with connection.begin():
            yield connection


def without_statement_timeout(connection: Connection) -> None:
    """Lets the statements of this transaction take as long as they need, as migrations may."""
    if connection.dialect.name == "postgresql":
        connection.execute(text("SET LOCAL statement_timeout = 0"))


def insert_into(connection: Connection, table: Table) -> sqlite.Insert | postgresql.Insert:
    """An insert that can say ON CONFLICT, in the words of the connection's database."""
    return sqlite.insert(table) if connection.dialect.name == "sqlite" else postgresql.insert(table)


def _parse(url: str) -> URL:
    try:
        address = make_url(url)
    except ArgumentError as error:
        raise InvalidSettings(
            "NIGHTJAR_DATABASE__URL is no SQLAlchemy URL; write it like postgresql+psycopg://user:pw@host/db."
        ) from error
    if address.drivername in ("postgres", "postgresql"):
        return address.set(drivername="postgresql+psycopg")
    if address.drivername not in ("postgresql+psycopg", "sqlite", "sqlite+pysqlite"):
        raise InvalidSettings(
            f"NIGHTJAR_DATABASE__URL names {address.drivername!r}; the catalog runs on sqlite or postgresql+psycopg."
        )
    return address


def _open_sqlite(address: URL) -> Engine:
    if address.database:
        folder = Path(address.database).parent
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise CatalogDown(
                f"The folder {folder} for the catalog database cannot be made ({error.strerror}); "
                "point NIGHTJAR_HOME at a writable place."
            ) from error
    engine = create_engine(address, connect_args={"timeout": BUSY_TIMEOUT_S})
    event.listen(engine, "connect", _prepare_sqlite)
    event.listen(engine, "begin", _begin_sqlite)
    return engine


def _open_postgres(address: URL) -> Engine:
    limits = {
        "application_name": "nightjar",
        "connect_timeout": CONNECT_TIMEOUT_S,
        "keepalives": 1,
        "keepalives_idle": KEEPALIVE_IDLE_S,
        "keepalives_interval": KEEPALIVE_INTERVAL_S,
        "keepalives_count": KEEPALIVE_COUNT,
        "tcp_user_timeout": TCP_USER_TIMEOUT_S * 1_000,  # libpq takes milliseconds
    }
    ours = {name: value for name, value in limits.items() if name not in address.query}  # the operator's URL wins
    engine = create_engine(address, pool_pre_ping=True, connect_args=ours)
    event.listen(engine, "connect", _prepare_postgres)
    return engine


def _prepare_postgres(connection: Any, record: object) -> None:
    del record
    # Not as an option of the connection: poolers such as PgBouncer refuse those they don't know.
    connection.execute(f"SET statement_timeout = '{STATEMENT_TIMEOUT_S}s'")
    connection.commit()


def _prepare_sqlite(connection: Any, record: object) -> None:
    del record
    connection.isolation_level = None  # the driver begins no transaction by itself; _begin_sqlite does
    connection.execute("PRAGMA foreign_keys = ON")
    if connection.execute("PRAGMA journal_mode").fetchone() != ("wal",):
        connection.execute("PRAGMA journal_mode = WAL")


def _begin_sqlite(connection: Connection) -> None:
    connection.exec_driver_sql(connection.get_execution_options().get(BEGIN_OPTION, "BEGIN"))


@contextmanager
def _translated(url: URL) -> Iterator[None]:
    try:
        yield
    except (DBAPIError, PoolTimeoutError) as error:
        if getattr(getattr(error, "orig", None), "sqlstate", None) in UNDEFINED:
            raise CatalogDown(
                f"The catalog database {url.render_as_string(hide_password=True)} lacks tables of this version; start "
                "the scheduler or `nightjar up` once, which make them."
            ) from error
        if isinstance(error, DBAPIError) and type(error) not in (OperationalError, InterfaceError, DatabaseError):
            raise  # its subclasses, such as IntegrityError, speak of our statement, not of the database
        cause = str(getattr(error, "orig", None) or error).strip().partition("\n")[0]
        raise CatalogDown(
            f"The catalog database {url.render_as_string(hide_password=True)} cannot be used ({cause}); "
            "check that it runs and that NIGHTJAR_DATABASE__URL is right."
        ) from error


def storable(text: str) -> str:
    """A text without NUL, which PostgreSQL does not store: what somebody sent must not stop the writer."""
    return text.replace("\0", "\ufffd")
