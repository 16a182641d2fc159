"""The tables of the catalog database. A change here needs a migration beside it; a test compares the two.

Sizes: an item about 300 bytes, a model 2 KB (metrics and verdict), an assignment and a run 200 bytes each. Runs are
bounded by `RUNS_KEPT`; models and assignments grow by one a night. APScheduler keeps its own table, `apscheduler_jobs`.
"""

from datetime import UTC, datetime
from typing import Final

from sqlalchemy import (
    JSON,
    BigInteger,
    Boolean,
    Column,
    DateTime,
    Dialect,
    ForeignKey,
    Index,
    Integer,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    text,
)

RUNS_KEPT: Final = 1_000  # nearly three years of nights


class UtcTime(TypeDecorator[datetime]):
    """An aware moment in UTC, to the microsecond; SQLite, which stores no zone, gets it back here."""

    impl = DateTime(timezone=True)
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        return None if value is None else value.astimezone(UTC)

    def process_result_value(self, value: datetime | None, dialect: Dialect) -> datetime | None:
        del dialect
        if value is None:
            return None
        return value.replace(tzinfo=UTC) if value.tzinfo is None else value.astimezone(UTC)


metadata = MetaData(
    naming_convention={
        "pk": "pk_%(table_name)s",
        "fk": "fk_%(table_name)s_%(column_0_name)s",
        "ix": "ix_%(table_name)s_%(column_0_name)s",
    }
)

items = Table(
    "items",
    metadata,
    Column("item_id", String, primary_key=True),
    Column("title", Text, nullable=False),
    Column("categories", JSON, nullable=False),
    Column("attributes", JSON, nullable=False),
    Column("update_time_us", BigInteger, nullable=False),
)

models = Table(
    "models",
    metadata,
    Column("version", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("created_time", UtcTime, nullable=False, index=True),
    Column("location", Text, nullable=False),
    Column("digest", String, nullable=False),
    Column("data_version", BigInteger, nullable=False),
    Column("metrics", JSON, nullable=False),
    Column("verdict", JSON(none_as_null=True), nullable=True),
)

# Append-only: the highest generation is live, the rest is the audit log.
assignments = Table(
    "assignments",
    metadata,
    Column("generation", Integer, primary_key=True, autoincrement=False),
    Column("version", String, ForeignKey("models.version"), nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("override", Boolean, nullable=False),
    Column("restores", Integer, nullable=True),
    Column("change_time", UtcTime, nullable=False),
)

runs = Table(
    "runs",
    metadata,
    Column("run_id", Integer, primary_key=True),
    Column("kind", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("start_time", UtcTime, nullable=False),
    Column("alive_time", UtcTime, nullable=False),
    Column("end_time", UtcTime, nullable=True),
    Column("state", String, nullable=False),
    Column("version", String, nullable=True),
    Column("detail", Text, nullable=False),
)

# The lock: no second run of a kind can begin while one is running.
one_running = Index(
    "uq_runs_running_kind",
    runs.c.kind,
    unique=True,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)
