"""What every ModelRegistry promises."""

import math
import threading
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import text

from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import MIGRATIONS, upgrade
from services.adapters.sql.model_registry import SqlModelRegistry
from services.domain.errors import BundleDeleted, CatalogDown, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Assignment, Pin, Provenance, StageCost
from services.domain.ports import ModelRegistry
from tests.fakes.clock import START, FakeClock
from tests.fakes.model_registry import PASSED, REFUSED, FakeModelRegistry, model

A, B, NOWHERE = ModelVersion("a"), ModelVersion("b"), ModelVersion("nowhere")


def migrate_to(url: str, revision: str) -> None:
    """As an older release left it."""
    config = Config()
    config.set_main_option("script_location", str(MIGRATIONS))
    with connect(url).begin() as connection:
        config.attributes["connection"] = connection
        command.upgrade(config, revision)


def _sql(url: str) -> SqlModelRegistry:
    upgrade(url)
    return SqlModelRegistry(connect(url), FakeClock())


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def registry(request: pytest.FixtureRequest, tmp_path: Path) -> ModelRegistry:
    makers: dict[str, Callable[[], ModelRegistry]] = {
        "fake": FakeModelRegistry,
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'catalog.db'}"),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url")),
    }
    return makers[request.param]()


def _assign(registry: ModelRegistry, version: ModelVersion, expected_generation: int) -> Assignment | None:
    return registry.assign(version, actor="ada", reason="", override=False, expected_generation=expected_generation)


def test_a_model_comes_back_as_it_was_registered(registry: ModelRegistry) -> None:
    registered = model("a", ndcg_at_10=0.1 + 0.2, num_holdout_events=10_000, verdict=REFUSED)
    registry.register(registered)
    assert registry.get(A) == registered


def test_figures_that_are_not_finite_come_back(registry: ModelRegistry) -> None:
    registry.register(model("a", ndcg_at_10=math.nan, fit_s=math.inf))
    metrics = registry.get(A).metrics
    assert math.isnan(metrics["ndcg_at_10"])
    assert metrics["fit_s"] == math.inf


PROVENANCE = Provenance(
    code_version="0.1.0+abc",
    seed=7,
    configuration={
        "train": {"dim": 16, "options": {"l2": 0.1 + 0.2}},
        "until_us": None,
        "event_types": [{"name": "view"}],
    },
    first_event_time=START,
    last_event_time=START + timedelta(days=3, microseconds=1),
    cost={"read": StageCost(1.5, 1.25), "fit": StageCost(0.1 + 0.2, 9.0, 0.1 + 0.2)},
)


def test_how_a_version_came_about_comes_back(registry: ModelRegistry) -> None:
    """Settings, seed, origin, parent, the time of its data and its cost by stage, in order."""
    registered = replace(model("a"), origin="night-12/warm", parent=B, provenance=PROVENANCE)
    registry.register(registered)
    registry.register(registered)
    assert registry.get(A) == registered
    assert list(registry.get(A).provenance.cost) == ["read", "fit"]


@pytest.mark.parametrize(
    "change",
    [
        {"origin": "night-13/warm"},
        {"parent": A},
        {"provenance": replace(PROVENANCE, seed=8)},
        {"provenance": Provenance()},
    ],
    ids=["origin", "parent", "seed", "provenance"],
)
def test_how_a_version_came_about_never_changes(registry: ModelRegistry, change: dict[str, object]) -> None:
    registered = replace(model("a"), origin="night-12/warm", parent=B, provenance=PROVENANCE)
    registry.register(registered)
    with pytest.raises(ValueError, match="registered already"):
        registry.register(replace(registered, **change))  # type: ignore[arg-type]
    assert registry.get(A) == registered


def test_a_version_is_found_by_its_origin_and_of_several_the_first(registry: ModelRegistry) -> None:
    for version, origin, age_s in (
        ("c", "night-1/warm", 10.0),
        ("b", "night-1/warm", 20.0),
        ("d", "night-1/warm/2", 30.0),
    ):
        registry.register(replace(model(version, age_s=age_s), origin=origin))
    registry.register(model("a"))
    found = registry.by_origin("night-1/warm")
    assert found is not None
    assert found.version == B
    assert registry.by_origin("night-1") is None
    assert registry.by_origin("") is None, "no origin is nobody's"


def test_registering_again_is_harmless_and_keeps_the_verdict(registry: ModelRegistry) -> None:
    registry.register(model("a"))
    registry.judge(A, PASSED)
    registry.register(model("a"))
    assert registry.get(A).verdict == PASSED


@pytest.mark.parametrize("change", [{"digest": "1" * 64}, {"data_version": 8}, {"metrics": {"ndcg_at_10": 0.13}}])
def test_a_version_never_gets_other_content(registry: ModelRegistry, change: dict[str, object]) -> None:
    registry.register(model("a"))
    with pytest.raises(ValueError, match="registered already"):
        registry.register(replace(model("a"), **change))  # type: ignore[arg-type]
    assert registry.get(A) == model("a")


def test_unknown_versions_are_named(registry: ModelRegistry) -> None:
    with pytest.raises(UnknownVersion, match="nowhere"):
        registry.get(NOWHERE)
    with pytest.raises(UnknownVersion, match="nowhere"):
        registry.judge(NOWHERE, PASSED)
    with pytest.raises(UnknownVersion, match="nowhere"):
        _assign(registry, NOWHERE, 0)


def test_newest_first_and_no_more_than_asked_for(registry: ModelRegistry) -> None:
    for version, age_s in (("b", 20.0), ("c", 10.0), ("a", 30.0)):
        registry.register(model(version, age_s=age_s))
    assert [each.version for each in registry.newest(10)] == ["c", "b", "a"]
    assert [each.version for each in registry.newest(2)] == ["c", "b"]


def test_the_last_verdict_stands(registry: ModelRegistry) -> None:
    registry.register(model("a"))
    registry.judge(A, PASSED)
    registry.judge(A, REFUSED)
    assert registry.get(A).verdict == REFUSED


def test_nothing_is_live_at_first(registry: ModelRegistry) -> None:
    assert registry.live() is None
    assert registry.assignments(10) == []


def test_an_assignment_is_live_and_recorded_with_who_and_why(registry: ModelRegistry) -> None:
    registry.register(model("a"))
    assigned = registry.assign(A, actor="ada", reason="trial", override=True, expected_generation=0, restores=None)
    assert assigned == Assignment(1, A, "ada", "trial", START, override=True)
    assert registry.live() == assigned


def test_the_audit_log_keeps_every_change_newest_first(registry: ModelRegistry) -> None:
    registry.register(model("a"))
    registry.register(model("b"))
    _assign(registry, A, 0)
    _assign(registry, B, 1)
    registry.assign(A, actor="ada", reason="", override=False, expected_generation=2, restores=1)
    changes = registry.assignments(10)
    assert [(each.generation, each.version, each.restores) for each in changes] == [
        (3, A, 1),
        (2, B, None),
        (1, A, None),
    ]
    assert registry.assignments(1) == changes[:1]


@pytest.mark.parametrize("stale", [0, 2, 7])
def test_a_caller_with_another_generation_in_mind_changes_nothing(registry: ModelRegistry, stale: int) -> None:
    registry.register(model("a"))
    registry.register(model("b"))
    first = _assign(registry, A, 0)
    assert _assign(registry, B, stale) is None
    assert registry.live() == first
    assert len(registry.assignments(10)) == 1


def test_of_many_callers_at_once_exactly_one_wins(registry: ModelRegistry) -> None:
    registry.register(model("a"))
    start, outcomes = threading.Barrier(8), list[Assignment | None]()

    def race() -> None:
        start.wait()
        outcomes.append(_assign(registry, A, 0))

    threads = [threading.Thread(target=race) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert len(outcomes) == 8
    assert [each for each in outcomes if each is not None] == [registry.live()]


PIN = Pin("ada", "the season's best")


def test_a_pin_says_who_and_why_until_it_is_taken_off(registry: ModelRegistry) -> None:
    registry.register(model("a"))
    registry.pin(A, PIN)
    registry.register(model("a"))
    assert registry.get(A) == replace(model("a"), pin=PIN)
    registry.pin(A, Pin("bob", "an audit"))
    assert registry.get(A).pin == Pin("bob", "an audit")
    registry.pin(A, None)
    assert registry.get(A) == model("a")


def test_everything_is_all_there_is_newest_first(registry: ModelRegistry) -> None:
    for version, age_s in (("b", 20.0), ("c", 10.0), ("a", 30.0)):
        registry.register(model(version, age_s=age_s))
    assert [each.version for each in registry.everything()] == ["c", "b", "a"]


def test_a_retired_version_can_neither_go_live_nor_be_pinned(registry: ModelRegistry) -> None:
    """Its bundle may be gone already, whatever comes between."""
    registry.register(model("a"))
    assert registry.retire(A)
    assert registry.retire(A), "a crash before the bundle was deleted is made up for"
    assert registry.get(A).deleted_time == START
    with pytest.raises(BundleDeleted, match="a"):
        _assign(registry, A, 0)
    with pytest.raises(BundleDeleted, match="a"):
        registry.pin(A, PIN)
    assert (registry.live(), registry.get(A).pin) == (None, None)


def test_neither_the_live_version_nor_a_pinned_one_is_retired(registry: ModelRegistry) -> None:
    registry.register(model("a"))
    registry.register(model("b"))
    _assign(registry, A, 0)
    registry.pin(B, PIN)
    assert not registry.retire(A)
    assert not registry.retire(B)
    assert [each.deleted_time for each in registry.everything()] == [None, None]
    _assign(registry, B, 1)
    assert registry.retire(A)


def test_only_a_retired_row_that_the_audit_log_does_not_name_is_forgotten(registry: ModelRegistry) -> None:
    for version in ("a", "b"):
        registry.register(model(version))
    _assign(registry, A, 0)
    _assign(registry, B, 1)
    registry.register(model("c"))
    assert registry.retire(A)
    assert not registry.forget(A), "who was live is told for ever"
    assert not registry.forget(ModelVersion("c")), "its bundle is there"
    assert registry.retire(ModelVersion("c"))
    assert registry.forget(ModelVersion("c"))
    assert not registry.forget(ModelVersion("c"))
    assert {each.version for each in registry.everything()} == {"a", "b"}


def test_an_unknown_version_is_neither_pinned_nor_retired(registry: ModelRegistry) -> None:
    with pytest.raises(UnknownVersion, match="nowhere"):
        registry.pin(NOWHERE, PIN)
    with pytest.raises(UnknownVersion, match="nowhere"):
        registry.retire(NOWHERE)


def test_of_a_promotion_and_a_deletion_at_once_one_wins(registry: ModelRegistry) -> None:
    """Never a live version whose bundle is deleted: each looks at the other's word while it holds the row."""
    for round_ in range(10):
        version = ModelVersion(f"v{round_}")
        registry.register(model(version))
        start, outcomes = threading.Barrier(2), dict[str, object]()

        def promote(
            version: ModelVersion = version, start: threading.Barrier = start, outcomes: dict[str, object] = outcomes
        ) -> None:
            live = registry.live()
            start.wait()
            try:
                outcomes["promoted"] = _assign(registry, version, 0 if live is None else live.generation) is not None
            except BundleDeleted:
                outcomes["promoted"] = False

        thread = threading.Thread(target=promote)
        thread.start()
        start.wait()
        outcomes["retired"] = registry.retire(version)
        thread.join()
        assert outcomes["promoted"] is not outcomes["retired"]


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_a_database_without_tables_is_down_and_not_a_fault_of_ours(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """A worker that starts before the first migration waits for it."""
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else f"sqlite:///{tmp_path / 'new.db'}"
    with pytest.raises(CatalogDown):
        SqlModelRegistry(connect(url), FakeClock()).live()


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgresql", marks=pytest.mark.postgres)])
def test_what_an_older_release_registered_is_still_read(
    database: str, request: pytest.FixtureRequest, tmp_path: Path
) -> None:
    """Its row says nothing of how it came about, and registering it again is as harmless as ever."""
    url = request.getfixturevalue("postgres_url") if database == "postgresql" else f"sqlite:///{tmp_path / 'old.db'}"
    migrate_to(url, "0006")
    with connect(url).begin() as connection:
        connection.execute(
            text(
                "INSERT INTO models (version, kind, created_time, location, digest, data_version, metrics)"
                " VALUES ('a', 'sequence', :time, '/bundles/a', :digest, 7, :metrics)"
            ),
            {"time": START.isoformat(sep=" "), "digest": "0" * 64, "metrics": '{"ndcg_at_10": 0.12}'},
        )
    registry = _sql(url)
    assert registry.get(A) == model("a")
    registry.register(model("a"))
