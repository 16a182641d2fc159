"""`nightjar models` on a real catalog database: what operators see, and that it may be tried dry and repeated."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from services import logs
from services.cli import models
from services.domain.errors import BundleDeleted, GateNotPassed, InvalidRequest, NothingToRollBack, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.ports import ModelRegistry
from services.registry.wiring import open_registry
from services.settings import load
from tests.fakes.model_registry import PASSED, REFUSED, model

Command = Callable[..., Any]


@pytest.fixture
def registry(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> ModelRegistry:
    """Of a home without a stack: `b` and `a` passed, `c`, the newest, was refused."""
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path))
    registry = open_registry(load())
    registry.register(model("a", verdict=PASSED, age_s=30))
    registry.register(model("b", verdict=PASSED, age_s=20, ndcg_at_10=0.1234, popularity_ndcg_at_10=float("nan")))
    registry.register(model("c", verdict=REFUSED, age_s=10))
    return registry


@pytest.fixture
def run(registry: ModelRegistry, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs a command in this process and returns its text, or with --json its object; raises what it raises."""
    # The process's own logging would hold on to the streams of one test.
    monkeypatch.setattr(logs, "configure", lambda *_: None)

    def invoke(*arguments: str) -> Any:
        ended = CliRunner().invoke(models.app, list(arguments), standalone_mode=False, env={"COLUMNS": "200"})
        if ended.exception is not None:
            raise ended.exception
        return json.loads(ended.stdout) if "--json" in arguments else ended.stdout

    with capture_logs():
        yield invoke


def test_an_empty_registry_says_how_to_fill_it(tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path / "other"))
    assert "nightjar train" in run("list")
    assert run("list", "--json") == {"generation": 0, "live_version": None, "models": []}


def test_the_list_shows_state_figures_and_verdicts_newest_first(run: Command) -> None:
    run("promote", "a")
    listed = run("list", "--json")
    assert [(each["version"], each["state"]) for each in listed["models"]] == [
        ("c", "refused"),
        ("b", "passed"),
        ("a", "live"),
    ]
    assert (listed["generation"], listed["live_version"]) == (1, "a")
    assert listed["models"][1]["metrics"] == {"ndcg_at_10": 0.1234, "popularity_ndcg_at_10": None}
    assert listed["models"][0]["findings"] == [REFUSED.findings[0].sentence]
    text = run("list", "--limit", "2")
    assert "0.1234" in text
    assert "live" not in text


def test_promoting_is_recorded_and_may_be_repeated(run: Command, registry: ModelRegistry) -> None:
    first = run("promote", "a", "--json")
    assert first == {
        "dry_run": False,
        "previous_version": None,
        "live_version": "a",
        "generation": 1,
        "notice": "polling",
    }
    assert run("promote", "a", "--json")["generation"] == 1
    assert "nothing changed" in run("promote", "a")
    (change,) = registry.assignments(10)
    assert change.actor


def test_without_a_stack_it_says_that_workers_poll(run: Command) -> None:
    assert "by polling" in run("promote", "a")


def test_a_dry_run_checks_everything_and_changes_nothing(run: Command, registry: ModelRegistry) -> None:
    assert run("promote", "a", "--dry-run", "--json")["live_version"] == "a"
    with pytest.raises(GateNotPassed):
        run("promote", "c", "--dry-run")
    with pytest.raises(UnknownVersion):
        run("promote", "nowhere", "--dry-run")
    with pytest.raises(NothingToRollBack):
        run("rollback", "--dry-run")
    assert registry.live() is None


def test_an_override_needs_its_reason(run: Command, registry: ModelRegistry) -> None:
    with pytest.raises(GateNotPassed):
        run("promote", "c")
    run("promote", "c", "--override-reason", "the holdout was broken")
    live = registry.live()
    assert live is not None
    assert (live.version, live.override, live.reason) == ("c", True, "the holdout was broken")


def test_a_rollback_goes_back_and_says_from_what(run: Command, registry: ModelRegistry) -> None:
    run("promote", "a")
    run("promote", "b")
    assert "a would be live instead of b" in run("rollback", "--dry-run")
    assert "a is live" in run("rollback", "--reason", "clicks fell")
    live = registry.live()
    assert live is not None
    assert (live.version, live.reason, live.restores) == (ModelVersion("a"), "clicks fell", 1)


def test_a_pin_says_why_shows_in_the_list_and_may_be_taken_off(run: Command, registry: ModelRegistry) -> None:
    assert "would be pinned" in run("pin", "a", "--reason", "an audit", "--dry-run")
    assert registry.get(ModelVersion("a")).pin is None
    run("pin", "a", "--reason", "an audit")
    pinned = registry.get(ModelVersion("a")).pin
    assert pinned is not None
    assert (pinned.reason, bool(pinned.actor)) == ("an audit", True)
    assert run("list", "--json")["models"][2]["pinned"]["reason"] == "an audit"
    assert "passed, pinned" in run("list")
    assert "would be no longer pinned" in run("unpin", "a", "--dry-run")
    assert run("unpin", "a", "--json")["was_pinned"] is True
    assert "was not pinned; nothing changed" in run("unpin", "a")
    assert registry.get(ModelVersion("a")).pin is None


def test_a_pin_needs_a_reason_and_a_version_that_is_there(run: Command, registry: ModelRegistry) -> None:
    with pytest.raises(InvalidRequest, match="reason"):
        run("pin", "a", "--reason", "  ")
    with pytest.raises(UnknownVersion):
        run("pin", "nowhere", "--reason", "an audit")
    registry.retire(ModelVersion("a"))
    for more in ((), ("--dry-run",)):
        with pytest.raises(BundleDeleted):
            run("pin", "a", "--reason", "an audit", *more)
        with pytest.raises(BundleDeleted):
            run("unpin", "a", *more)


def test_a_version_whose_bundle_was_deleted_is_listed_and_does_not_go_live(
    run: Command, registry: ModelRegistry
) -> None:
    run("promote", "a")
    run("promote", "b")
    registry.retire(ModelVersion("a"))
    assert "passed, bundle deleted" in run("list")
    assert run("list", "--json")["models"][2]["bundle_deleted_time"]
    for more in ((), ("--dry-run",), ("--override-reason", "all the same")):
        with pytest.raises(BundleDeleted, match="clean-up deleted its bundle"):
            run("promote", "a", *more)
    with pytest.raises(NothingToRollBack):
        run("rollback")
