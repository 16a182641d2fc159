"""`nightjar models canary|shadow|trials|end` on a real catalog database and real bundles."""

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from services import logs
from services.adapters.bundle_folder import FolderBundleStore
from services.cli import models
from services.domain.bundles import MANIFEST, TABLES, sha256_of
from services.domain.clock import SystemClock
from services.domain.errors import BundleBroken, GateNotPassed, InvalidRequest, TrialUnderWay
from services.domain.fleet import ServingWorker
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.trials import Likeness, TrialFigures, TrialReport
from services.domain.vitals import VitalsCounter
from services.registry.wiring import open_registry, open_rollout, open_trials
from services.settings import Settings, load
from tests.fakes.model_registry import PASSED, REFUSED
from tests.fakes.tiny_bundle import item_vectors, write_draft

Command = Callable[..., Any]


@pytest.fixture
def settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Settings:
    """Of a home without a stack: `live` is live, `good` passed, `bad` was refused."""
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path / "home"))
    settings = load()
    store, registry = FolderBundleStore(settings.bundle_folder), open_registry(settings)
    for number, (version, verdict) in enumerate((("live", PASSED), ("good", PASSED), ("bad", REFUSED))):
        manifest = write_draft(tmp_path / version, version, vectors=item_vectors(number))
        location = store.publish(tmp_path / version, manifest)
        digest = sha256_of(store.fetch(location) / MANIFEST)
        registry.register(Model(manifest.model_version, manifest.kind, SystemClock().now(), location, digest, 1))
        registry.judge(manifest.model_version, verdict)
    registry.assign(ModelVersion("live"), actor="ada", reason="", override=False, expected_generation=0)
    return settings


@pytest.fixture
def run(settings: Settings, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs a command in this process and returns its text, or with --json its object; raises what it raises."""
    del settings
    monkeypatch.setattr(logs, "configure", lambda *_: None)

    def invoke(*arguments: str) -> Any:
        ended = CliRunner().invoke(models.app, list(arguments), standalone_mode=False, env={"COLUMNS": "200"})
        if ended.exception is not None:
            raise ended.exception
        return json.loads(ended.stdout) if "--json" in arguments else ended.stdout

    with capture_logs():
        yield invoke


def test_without_trials_it_says_how_to_begin_one(run: Command) -> None:
    assert "nightjar models canary" in run("trials")
    assert run("trials", "--json") == {"trials": []}
    assert "nothing changed" in run("end", "canary")


def test_a_canary_begins_widens_and_ends_and_may_be_repeated(run: Command) -> None:
    dry = run("canary", "good", "--dry-run", "--json")
    assert dry == {
        "dry_run": True, "kind": "canary", "version": "good", "share": 0.05, "number": None, "changed": False,
    }  # fmt: skip
    assert run("trials", "--json") == {"trials": []}
    assert "good is the canary of 0.05 of the users (change 1)" in run("canary", "good")
    assert "already; nothing changed" in run("canary", "good")
    assert run("canary", "good", "--share", "0.2", "--json")["changed"]
    (shown,) = run("trials", "--json")["trials"]
    assert (shown["version"], shown["share"], shown["is_over"], shown["override"]) == ("good", 0.2, False, False)
    assert "would no longer be the canary" in run("end", "canary", "--dry-run")
    assert run("end", "canary", "--reason", "seen enough", "--json")["ended_version"] == "good"
    assert run("end", "canary", "--json")["ended_version"] is None
    (shown,) = run("trials", "--json")["trials"]
    assert (shown["is_over"], shown["reason"]) == (True, "seen enough")


def test_what_the_gate_refused_answers_nobody_without_a_word_and_may_be_a_shadow(run: Command) -> None:
    with pytest.raises(GateNotPassed):
        run("canary", "bad")
    run("shadow", "bad")
    run("canary", "bad", "--override-reason", "we want to know")
    shown = run("trials", "--json")["trials"]
    assert [(each["kind"], each["share"], each["override"]) for each in shown] == [
        ("canary", 0.05, True),
        ("shadow", 1.0, False),
    ]


def test_what_cannot_be_on_trial_is_refused(run: Command, settings: Settings) -> None:
    with pytest.raises(InvalidRequest, match="live already"):
        run("canary", "live")
    run("shadow", "good")
    with pytest.raises(TrialUnderWay, match="models end shadow"):
        run("shadow", "bad")
    tables = settings.bundle_folder / "bad" / TABLES
    tables.chmod(0o644)
    tables.write_bytes(tables.read_bytes()[:-1])
    with pytest.raises(BundleBroken, match=TABLES):
        run("canary", "bad", "--override-reason", "we want to know")


def test_promoting_the_canary_ends_it(run: Command) -> None:
    run("canary", "good")
    run("shadow", "bad")
    run("promote", "good")
    shown = {each["kind"]: each for each in run("trials", "--json")["trials"]}
    assert (shown["canary"]["is_over"], shown["canary"]["reason"]) == (True, "live since generation 2")
    assert not shown["shadow"]["is_over"]


def test_the_figures_stand_side_by_side(run: Command, settings: Settings) -> None:
    run("canary", "good")
    run("shadow", "bad")
    now, counter, calm = SystemClock().now(), VitalsCounter(), VitalsCounter()
    counter.call(0.01, failed=True)
    counter.degraded()
    calm.call(0.001, failed=False)
    open_rollout(settings).fleet.report(ServingWorker("a", "host/1", 1, now))
    trials = open_trials(settings)
    trials.report(TrialReport(1, "a", now, is_held=True, figures=TrialFigures(counter.now, calm.now)))
    alike = TrialFigures(likeness=Likeness(4, 3.0, 2))
    trials.report(TrialReport(2, "a", now, is_held=False, problem="BundleBroken: cut", figures=alike))
    shadow, canary = run("trials", "--json")["trials"]
    assert {name: canary["trial"][name] for name in ("num_calls", "num_failed", "num_degraded")} == {
        "num_calls": 1, "num_failed": 1, "num_degraded": 1,
    }  # fmt: skip
    assert canary["live"]["num_failed"] == 0
    assert canary["trial"]["p99_ms"] > canary["live"]["p99_ms"] > 0
    assert (canary["num_holding"], canary["num_workers"]) == (1, 1)
    assert (shadow["overlap_at_10"], shadow["num_compared"], shadow["num_dropped"]) == (0.75, 4, 2)
    assert (shadow["num_holding"], shadow["problems"]) == (0, ["BundleBroken: cut"])
    assert "live" not in shadow
    text = run("trials")
    assert "0.750 (2 dropped)" in text
    assert "Not loaded: BundleBroken: cut" in text
