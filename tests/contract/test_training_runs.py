"""What every TrainingRuns promises: it says of a run what was recorded last, and keeps no more than it must."""

from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta, timezone
from pathlib import Path

import pytest

from services.adapters.sql import training_runs
from services.adapters.sql.engine import connect
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.training_runs import SqlTrainingRuns
from services.domain.errors import CatalogDown
from services.domain.ids import ModelVersion
from services.domain.ports import TrainingRuns
from services.domain.training_runs import TrainingRun, TrainingState
from tests.fakes.clock import START
from tests.fakes.training_runs import FakeTrainingRuns

BEGUN = TrainingRun("run-1", "sequence", "nightly", START, START)
FITTING = replace(
    BEGUN, update_time=START + timedelta(seconds=90), stage="fit", mode="incremental", epoch=3, max_epochs=8,
    loss=4.25, valid_ndcg_at_10=0.125, examples_per_s=70_000.5, left_s=150.0,
)  # fmt: skip


def _sql(url: str) -> SqlTrainingRuns:
    upgrade(url)
    return SqlTrainingRuns(connect(url))


@pytest.fixture(params=["fake", "sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def runs(request: pytest.FixtureRequest, tmp_path: Path) -> TrainingRuns:
    makers: dict[str, Callable[[], TrainingRuns]] = {
        "fake": FakeTrainingRuns,
        "sqlite": lambda: _sql(f"sqlite:///{tmp_path / 'catalog.db'}"),
        "postgres": lambda: _sql(request.getfixturevalue("postgres_url")),
    }
    return makers[request.param]()


def test_a_run_that_began_is_there_with_what_is_not_known_yet_unknown(runs: TrainingRuns) -> None:
    assert runs.newest(10) == []
    runs.record(BEGUN)
    assert runs.newest(10) == [BEGUN]


def test_what_was_recorded_last_is_what_is_said(runs: TrainingRuns) -> None:
    """However often, and whatever was missed in between."""
    ended = replace(FITTING, state=TrainingState.COMPLETED, stage="publish", left_s=None, version=ModelVersion("a"))
    for each in (BEGUN, FITTING, FITTING, ended):
        runs.record(each)
        assert runs.newest(10) == [each]


def test_a_run_is_recorded_although_its_beginning_was_missed(runs: TrainingRuns) -> None:
    failed = replace(FITTING, state=TrainingState.FAILED, detail="The loss became nan; train again.")
    runs.record(failed)
    assert runs.newest(10) == [failed]


def test_newest_first_and_no_more_than_asked_for(runs: TrainingRuns) -> None:
    """By when they began, not by who gave word last."""
    later = replace(BEGUN, run_id="run-2", start_time=START + timedelta(hours=1))
    at_once = replace(later, run_id="run-3")
    for each in (at_once, later, FITTING):
        runs.record(each)
    assert runs.newest(10) == [at_once, later, FITTING]
    assert runs.newest(2) == [at_once, later]


def test_a_time_of_another_zone_is_the_same_moment(runs: TrainingRuns) -> None:
    east = timezone(timedelta(hours=5, minutes=30))
    runs.record(replace(BEGUN, start_time=START.astimezone(east), update_time=START.astimezone(east)))
    assert runs.newest(1) == [BEGUN]


@pytest.mark.parametrize("database", ["sqlite", pytest.param("postgres", marks=pytest.mark.postgres)])
def test_a_sentence_that_a_database_refuses_is_recorded_all_the_same(
    request: pytest.FixtureRequest, tmp_path: Path, database: str
) -> None:
    """PostgreSQL has no text with a zero byte, and an error may quote anything."""
    url = f"sqlite:///{tmp_path / 'catalog.db'}" if database == "sqlite" else request.getfixturevalue("postgres_url")
    runs = _sql(url)
    runs.record(replace(BEGUN, state=TrainingState.FAILED, detail="a\0b"))
    assert runs.newest(1)[0].detail == "a\ufffdb"


def test_old_runs_are_forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The table is bounded."""
    monkeypatch.setattr(training_runs, "TRAINING_RUNS_KEPT", 3)
    runs = _sql(f"sqlite:///{tmp_path / 'catalog.db'}")
    for number in range(5):
        runs.record(replace(BEGUN, run_id=f"run-{number}", start_time=START + timedelta(days=number)))
    assert [run.run_id for run in runs.newest(10)] == ["run-4", "run-3", "run-2"]


def test_a_database_without_the_table_is_said_in_one_sentence(tmp_path: Path) -> None:
    with pytest.raises(CatalogDown, match="cannot be used"):
        SqlTrainingRuns(connect(f"sqlite:///{tmp_path / 'catalog.db'}")).record(BEGUN)
