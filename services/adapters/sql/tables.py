"""The tables of the catalog database. A change here needs a migration beside it; a test compares the two.

Sizes: an item about 300 bytes and its description and embedding (4 bytes a number), a user about 100 and their
attributes, an erasure 100, a model 6 KB (metrics, verdict, settings), an assignment and a run 200 bytes each. Runs are
bounded by `RUNS_KEPT`; assignments, and models that were ever live, grow by one a night; clean-up bounds the others. A
trial of a search is 500 bytes and 20 an epoch; `STUDIES_KEPT` bounds the studies, and --trials the trials of each. A
training run is 250 bytes and the sentence it failed with; `TRAINING_RUNS_KEPT` bounds them. A serving worker is 300
bytes, forgotten ten minutes after its last word; preparations are one row. A change of a trial is 200 bytes, and what a
worker says of one 500. APScheduler keeps its own table, `apscheduler_jobs`.
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
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    MetaData,
    String,
    Table,
    Text,
    TypeDecorator,
    false,
    text,
)

RUNS_KEPT: Final = 1_000  # nearly three years of nights
STUDIES_KEPT: Final = 100  # larger: more rows; smaller: a search begun long ago cannot be resumed
TRAINING_RUNS_KEPT: Final = 1_000  # larger: each word of a run looks through more rows; smaller: last year is forgotten


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
    Column("description", Text, server_default="", nullable=False),
    Column("tags", JSON, server_default="[]", nullable=False),
    Column("price_currency_code", String, nullable=True),
    Column("price_units", BigInteger, nullable=True),
    Column("price_nanos", Integer, nullable=True),
    Column("hidden", Boolean, server_default=false(), nullable=False),
    Column("available_from_us", BigInteger, nullable=True),
    Column("available_until_us", BigInteger, nullable=True),
    Column("embedding", LargeBinary, nullable=True),
    # The version of the catalog that last changed this item's availability; 0 for one that was always available.
    Column("availability_version", BigInteger, server_default="0", nullable=False, index=True),
    # The version of the facts that last changed this item's (categories, attributes, tags, price); 0: it has had none.
    Column("facts_version", BigInteger, server_default="0", nullable=False),
)

# Read page by page, in this order.
facts_in_order = Index("ix_items_facts", items.c.facts_version, items.c.item_id)

# One row, written by the migration: how often the availability of any item has changed, and how often the facts.
catalog_state = Table(
    "catalog_state",
    metadata,
    Column("state_id", Integer, primary_key=True, autoincrement=False),
    Column("availability_version", BigInteger, nullable=False),
    Column("facts_version", BigInteger, server_default="0", nullable=False),
)

users = Table(
    "users",
    metadata,
    Column("user_id", String, primary_key=True),
    Column("attributes", JSON, nullable=False),
    Column("update_time_us", BigInteger, nullable=False),
)

# The newest wish of a user to be forgotten; a fulfilled one stays, so that an old record cannot bring the user back.
erasures = Table(
    "erasures",
    metadata,
    Column("user_id", String, primary_key=True),
    Column("request_time_us", BigInteger, nullable=False),
    Column("done_time", UtcTime, nullable=True),
)

open_erasures = Index(
    "ix_erasures_open",
    erasures.c.request_time_us,
    sqlite_where=text("done_time IS NULL"),
    postgresql_where=text("done_time IS NULL"),
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
    Column("origin", String, server_default="", nullable=False, index=True),
    Column("parent", String, nullable=True),
    Column("provenance", JSON, server_default="{}", nullable=False),
    # Who keeps it and why; without an actor nobody does.
    Column("pin_actor", String, server_default="", nullable=False),
    Column("pin_reason", Text, server_default="", nullable=False),
    # When its bundle was deleted.
    Column("deleted_time", UtcTime, nullable=True),
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

# Append-only, as assignments are: the newest of a kind counts, and with share 0 there is none.
model_trials = Table(
    "model_trials",
    metadata,
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("kind", String, nullable=False),
    Column("version", String, ForeignKey("models.version"), nullable=False),
    Column("share", Float, nullable=False),
    Column("first", Integer, nullable=False),
    Column("actor", String, nullable=False),
    Column("reason", Text, nullable=False),
    Column("override", Boolean, nullable=False),
    Column("change_time", UtcTime, nullable=False),
)

# What each worker says of a trial, by the number that it began with.
trial_reports = Table(
    "trial_reports",
    metadata,
    Column("first", Integer, primary_key=True, autoincrement=False),
    Column("worker_id", String, primary_key=True),
    Column("report_time", UtcTime, nullable=False),
    Column("is_held", Boolean, nullable=False),
    Column("problem", Text, nullable=False),
    Column("figures", JSON, nullable=False),
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
    # Who runs it; the fence of every write.
    Column("holder", String, server_default="", nullable=False),
)

# The lock: no second run of a kind can begin while one is running.
one_running = Index(
    "uq_runs_running_kind",
    runs.c.kind,
    unique=True,
    sqlite_where=text("state = 'running'"),
    postgresql_where=text("state = 'running'"),
)

# What a night did; kept as long as its run, at most 6 KB a step and some 15 steps a night.
night_steps = Table(
    "night_steps",
    metadata,
    Column("run_id", Integer, ForeignKey("runs.run_id"), primary_key=True),
    Column("name", String, primary_key=True),
    Column("number", Integer, nullable=False),
    Column("state", String, nullable=False),
    Column("attempts", Integer, nullable=False),
    Column("start_time", UtcTime, nullable=False),
    Column("end_time", UtcTime, nullable=True),
    Column("inputs", JSON, nullable=False),
    Column("outputs", JSON(none_as_null=True), nullable=True),
    Column("detail", Text, nullable=False),
    Column("log", Text, nullable=False),
)

# By the place where a record first was; about 120 bytes each, kept for a year.
replays = Table(
    "replays",
    metadata,
    Column("source_topic", String, primary_key=True),
    Column("source_partition", Integer, primary_key=True, autoincrement=False),
    Column("source_offset", BigInteger, primary_key=True, autoincrement=False),
    Column("target_partition", Integer, nullable=False),
    Column("target_offset", BigInteger, nullable=False),
    Column("claim_time", UtcTime, nullable=False),
    Column("state", String, nullable=False),
)

# What the trials of one search have in common.
tuning_studies = Table(
    "tuning_studies",
    metadata,
    Column("name", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("seed", BigInteger, nullable=False),
    Column("data_version", BigInteger, nullable=False),
    Column("fit_end_us", BigInteger, nullable=False),
    Column("cut_us", BigInteger, nullable=False),
    Column("fixed", JSON, nullable=False),
    Column("create_time", UtcTime, nullable=False),
)

# The primary key is the claim: of workers that begin a trial of the same number, one does.
tuning_trials = Table(
    "tuning_trials",
    metadata,
    Column("study", String, ForeignKey("tuning_studies.name"), primary_key=True),
    Column("number", Integer, primary_key=True, autoincrement=False),
    Column("settings", JSON, nullable=False),
    Column("worker", String, nullable=False),
    Column("start_time", UtcTime, nullable=False),
    Column("limit_time", UtcTime, nullable=False),
    Column("state", String, nullable=False),
    Column("ndcg_at_10", Float, nullable=True),
    Column("epoch_ndcgs", JSON, nullable=False),
    Column("end_time", UtcTime, nullable=True),
    Column("detail", Text, nullable=False),
)

# Written over while a run goes on; nothing is decided by it, so it needs no lock.
training_runs = Table(
    "training_runs",
    metadata,
    Column("run_id", String, primary_key=True),
    Column("kind", String, nullable=False),
    Column("trigger", String, nullable=False),
    Column("start_time", UtcTime, nullable=False),
    Column("update_time", UtcTime, nullable=False),
    Column("state", String, nullable=False),
    Column("stage", String, nullable=False),
    Column("mode", String, nullable=True),
    Column("epoch", Integer, nullable=False),
    Column("max_epochs", Integer, nullable=False),
    Column("loss", Float, nullable=True),
    Column("valid_ndcg_at_10", Float, nullable=True),
    Column("examples_per_s", Float, nullable=True),
    Column("left_s", Float, nullable=True),
    Column("version", String, nullable=True),
    Column("detail", Text, nullable=False),
)

# Who serves, by what each worker said last.
serving_workers = Table(
    "serving_workers",
    metadata,
    Column("worker_id", String, primary_key=True),
    Column("replica", String, nullable=False),
    Column("pid", Integer, nullable=False),
    Column("alive_time", UtcTime, nullable=False),
    Column("generation", Integer, nullable=False),
    Column("held", JSON, nullable=False),
    Column("answered", Integer, nullable=False),
    Column("problem", Text, nullable=False),
    Column("vitals", JSON, server_default="{}", nullable=False),
)

# One row, written by the migration: the last preparation, and whether it is open.
preparations = Table(
    "preparations",
    metadata,
    Column("row_id", Integer, primary_key=True, autoincrement=False),
    Column("number", Integer, nullable=False),
    Column("version", String, nullable=False),
    Column("expected_generation", Integer, nullable=False),
    Column("deadline", UtcTime, nullable=False),
    Column("is_open", Boolean, nullable=False),
)
