"""No wait for PostgreSQL is without an end, but for a migration's."""

import threading
from typing import Any

import psycopg
import pytest
from sqlalchemy import make_url, text

from services.adapters.sql import engine
from services.adapters.sql.engine import connect, transaction
from services.adapters.sql.migrate import LOCK_KEY, upgrade
from services.domain.errors import CatalogDown
from tests.waiting import wait_until

pytestmark = pytest.mark.postgres


def libpq_parameters(url: str) -> dict[str, str]:
    """What a connection of ours was opened with."""
    with transaction(connect(url)) as connection:
        raw: Any = connection.connection.driver_connection
        parameters: dict[str, str] = raw.info.get_parameters()
        return parameters


def test_a_lost_network_is_noticed_within_seconds(postgres_url: str) -> None:
    """By the kernel: unacknowledged data and unanswered probes end the connection."""
    parameters = libpq_parameters(postgres_url)
    assert parameters["tcp_user_timeout"] == str(engine.TCP_USER_TIMEOUT_S * 1_000)
    probes = [parameters[f"keepalives_{name}"] for name in ("idle", "interval", "count")]
    assert probes == [str(engine.KEEPALIVE_IDLE_S), str(engine.KEEPALIVE_INTERVAL_S), str(engine.KEEPALIVE_COUNT)]


def test_what_the_operator_writes_into_the_url_wins(postgres_url: str) -> None:
    parameters = libpq_parameters(f"{postgres_url}?keepalives_idle=77&application_name=mine")
    assert (parameters["keepalives_idle"], parameters["application_name"]) == ("77", "mine")


def test_a_statement_that_hangs_is_a_database_that_is_down(postgres_url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """And the limit outlives the first transaction of a connection, and one that failed."""
    with transaction(connect(postgres_url)) as connection:
        assert connection.execute(text("SHOW statement_timeout")).scalar_one() == f"{engine.STATEMENT_TIMEOUT_S}s"
    monkeypatch.setattr(engine, "STATEMENT_TIMEOUT_S", 1)
    pooled = connect(postgres_url)
    for _ in range(2):
        with pytest.raises(CatalogDown, match="statement timeout"), transaction(pooled) as connection:
            connection.execute(text("SELECT pg_sleep(60)"))


def test_a_migration_waits_for_another_one_as_long_as_it_takes(
    postgres_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(engine, "STATEMENT_TIMEOUT_S", 1)
    upgrading = threading.Thread(target=upgrade, args=(postgres_url,))
    address = make_url(postgres_url).set(drivername="postgresql").render_as_string()
    with psycopg.connect(address) as other:
        other.execute("SELECT pg_advisory_xact_lock(%s)", (LOCK_KEY,))
        upgrading.start()

        def has_waited() -> bool:
            query = (
                "SELECT count(*) FROM pg_stat_activity WHERE wait_event = 'advisory' "
                "AND datname = current_database() AND clock_timestamp() - query_start > interval '1.5 s'"
            )
            with psycopg.connect(address) as watcher:
                (num_waiting,) = watcher.execute(query).fetchone() or (0,)
            return bool(num_waiting)

        wait_until(has_waited, what="the migration waits for longer than a statement may take")
    upgrading.join(timeout=30)
    with transaction(connect(postgres_url)) as connection:
        assert connection.execute(text("SELECT count(*) FROM items")).scalar_one() == 0
