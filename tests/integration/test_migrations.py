"""The migrations: they agree with the tables, may be repeated, and may run in several processes at once."""

import subprocess
import sys
import zipfile
from pathlib import Path

import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import inspect, text

from services.adapters.sql.engine import connect, transaction
from services.adapters.sql.migrate import MIGRATIONS, upgrade
from services.adapters.sql.tables import metadata
from services.domain.errors import CatalogDown, InvalidSettings, StartFailed

ROOT = Path(__file__).parents[2]
FIRST_ITEM = (
    "INSERT INTO items (item_id, title, categories, attributes, update_time_us) VALUES ('a', 'A', '[]', '{}', 1)"
)


@pytest.fixture(params=["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty database."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'new' / 'folder' / 'catalog.db'}"
    address: str = request.getfixturevalue("postgres_url")
    return address


def test_the_migrations_make_exactly_the_tables_of_the_code(url: str) -> None:
    upgrade(url)
    with transaction(connect(url)) as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, metadata) == []
        indexes = inspect(connection).get_indexes("runs")
    # The comparison does not look at an index's condition, and the run book's lock rests on one.
    (lock,) = [index for index in indexes if index["name"] == "uq_runs_running_kind"]
    conditions = [value for name, value in lock["dialect_options"].items() if name.endswith("_where")]
    assert lock["unique"]
    assert "running" in str(conditions[0])


def test_upgrading_again_changes_nothing(url: str) -> None:
    upgrade(url)
    with transaction(connect(url)) as connection:
        connection.execute(text(FIRST_ITEM))
    upgrade(url)
    with transaction(connect(url)) as connection:
        assert connection.execute(text("SELECT title FROM items")).scalar_one() == "A"


def test_processes_that_start_at_once_all_find_the_tables(url: str) -> None:
    code = "import sys; from services.adapters.sql.migrate import upgrade; upgrade(sys.argv[1])"
    started = [
        subprocess.Popen([sys.executable, "-c", code, url], cwd=ROOT, stderr=subprocess.PIPE, text=True)
        for _ in range(2)
    ]
    ended = [(process.communicate(timeout=60)[1], process.returncode) for process in started]
    assert [status for _, status in ended] == [0] * 2, ended
    with transaction(connect(url)) as connection:
        assert connection.execute(text("SELECT count(*) FROM alembic_version")).scalar_one() == 1


def test_a_database_changed_by_a_newer_version_is_left_alone(url: str) -> None:
    upgrade(url)
    with transaction(connect(url)) as connection:
        connection.execute(text("UPDATE alembic_version SET version_num = '9999'"))
    with pytest.raises(StartFailed, match="newer Nightjar"):
        upgrade(url)


def test_a_failed_migration_leaves_nothing_behind(url: str) -> None:
    """All of it is one transaction, on SQLite too: the next start tries again from the same place."""
    with transaction(connect(url)) as connection:
        connection.execute(text("CREATE TABLE runs (somebody_elses INTEGER)"))
    with pytest.raises(Exception, match="already exists"):
        upgrade(url)
    with transaction(connect(url)) as connection:
        assert inspect(connection).get_table_names() == ["runs"]


@pytest.mark.parametrize("address", ["mysql://host/db", "catalog.db", "postgresql+asyncpg://host/db"])
def test_an_address_the_catalog_cannot_use_is_a_wrong_setting(address: str) -> None:
    with pytest.raises(InvalidSettings, match="NIGHTJAR_DATABASE__URL"):
        upgrade(address)


def test_a_folder_that_cannot_be_made_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(CatalogDown, match="cannot be made"):
        upgrade(f"sqlite:///{tmp_path / 'file' / 'catalog.db'}")


def test_a_file_that_is_no_database_is_said_in_one_sentence(tmp_path: Path) -> None:
    (tmp_path / "catalog.db").write_text("not a database, " * 100)
    with pytest.raises(CatalogDown, match="cannot be used"):
        upgrade(f"sqlite:///{tmp_path / 'catalog.db'}")


def test_the_migrations_are_in_the_wheel(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "hatchling", "build", "-t", "wheel", "-d", str(tmp_path)]
    subprocess.run(build, cwd=ROOT, check=True, capture_output=True, timeout=60)
    (wheel,) = tmp_path.glob("*.whl")
    shipped = set(zipfile.ZipFile(wheel).namelist())
    needed = {str(path.relative_to(ROOT)) for path in MIGRATIONS.rglob("*.py")}
    assert needed
    assert needed <= shipped
