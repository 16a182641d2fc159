"""Law 5: a command repeats a run from what the registry kept of it, and gets the same figures, on a real log."""

import json
import os
import subprocess
import sys
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from services.adapters.delta_log import DeltaEventLog
from services.domain.ids import ModelVersion
from services.domain.models import Model
from services.domain.plans import PlanTable
from services.domain.streams import LogBatch
from services.registry.wiring import open_registry
from services.settings import Settings, load
from tests.fakes.planted import planted_events

SMALL = {
    "NIGHTJAR_TRAIN__DIM": "16",
    "NIGHTJAR_TRAIN__MAX_HISTORY": "12",
    "NIGHTJAR_TRAIN__LEARNING_RATE": "0.02",
    "NIGHTJAR_TRAIN__BATCH_EVENTS": "384",
    "NIGHTJAR_TRAIN__MAX_EPOCHS": "3",
    "NIGHTJAR_TRAIN__SEED": "5",
    "NIGHTJAR_EVENT_TYPES": '[{"name": "view", "role": "positive", "weight": 2.0}]',
}
REPRODUCE = [sys.executable, "-m", "services.cli.main", "models", "reproduce", "--json"]


@pytest.fixture
def settings(tmp_path: Path) -> Settings:
    settings = load(home=tmp_path / "home")
    events = planted_events(60, 30)
    DeltaEventLog(settings.log_folder).append(LogBatch(events[:1_500]))
    DeltaEventLog(settings.log_folder).append(LogBatch(events[1_500:]))
    return settings


def run(settings: Settings, command: list[str], **variables: str) -> subprocess.CompletedProcess[str]:
    """With these variables of ours alone, and where no file of settings lies."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("NIGHTJAR_")}
    environment = {**inherited, **variables, "NIGHTJAR_HOME": str(settings.home_folder)}
    return subprocess.run(command, env=environment, capture_output=True, text=True, check=False)


def trained(settings: Settings, data_version: int, **variables: str) -> Model:
    command = [sys.executable, "-m", "services.training", "--data-version", str(data_version)]
    done = run(settings, command, **SMALL, **variables)
    assert done.returncode == 0, done.stderr
    version = json.loads(done.stdout.splitlines()[-1])["version"]
    return open_registry(settings).get(ModelVersion(version))


def reproduced(settings: Settings, model: Model, *more: str) -> Mapping[str, Any]:
    """Under settings that have become others: only what the registry kept may count. Any code: a commit meanwhile."""
    done = run(settings, [*REPRODUCE, model.version, "--any-code", *more], NIGHTJAR_TRAIN__DIM="32")
    assert done.returncode == 0, done.stdout + done.stderr
    said: Mapping[str, Any] = json.loads(done.stdout)
    return said


@pytest.mark.timeout(600)
def test_a_run_and_one_that_started_from_it_are_repeated_to_the_last_digit(settings: Settings) -> None:
    """Tolerance 0, on one machine; neither repetition is live, nor anything that a night starts from."""
    full = trained(settings, 1)
    warm = trained(settings, 2)
    assert warm.parent == full.version
    for model in (full, warm):
        said = reproduced(settings, model, "--tolerance", "0")
        assert said["reproduced"] is True
        assert len(said["metrics"]) > 10
        assert {each["difference"] for each in said["metrics"]} == {0.0}
        again = open_registry(settings).get(said["repeated_as"])
        assert again.version != model.version
        assert (again.parent, again.data_version) == (model.parent, model.data_version)
        assert again.origin.startswith(f"reproduce/{model.version}/")
        chosen = PlanTable.from_document(model.provenance.configuration["plans"]).chosen.precision.value
        assert again.provenance.configuration["train"] == {
            **model.provenance.configuration["train"],
            "plan": chosen,  # which plan costs least is a matter of the day
        }
        assert (again.provenance.seed, again.provenance.configuration["event_types"][0]["weight"]) == (5, 2.0)
    assert open_registry(settings).live() is None
    assert trained(settings, 2).parent == warm.version


@pytest.mark.timeout(600)
def test_figures_that_are_others_are_beyond_and_refusals_say_why(settings: Settings) -> None:
    """A popularity model, which takes seconds: figures nobody measured, other code, a log that is gone."""
    model = trained(settings, 1, NIGHTJAR_TRAIN__KIND="popularity")
    registry, told = open_registry(settings), model.provenance
    registry.register(replace(model, version=ModelVersion("better"), metrics={**model.metrics, "ndcg_at_10": 0.99}))
    registry.register(
        replace(model, version=ModelVersion("foreign"), provenance=replace(told, code_version="0.0.1+elsewhere"))
    )
    registry.register(replace(model, version=ModelVersion("lost"), data_version=77))
    registry.register(replace(model, version=ModelVersion("old"), provenance=replace(told, configuration={})))
    done = run(settings, [*REPRODUCE, "better", "--any-code"])
    assert done.returncode == 1, done.stderr
    said = json.loads(done.stdout)
    assert said["reproduced"] is False
    assert [each["name"] for each in said["metrics"] if not each["within"]] == ["ndcg_at_10"]
    for version, why in {
        "foreign": "which the code 0.0.1+elsewhere trained",
        "lost": "cannot be trained again, since version 77 of the log",
        "old": "which an older release registered without its settings",
    }.items():
        for more in (("--dry-run",), ()) if version == "lost" else ((),):
            done = run(settings, [*REPRODUCE, version, *more, *(() if version == "foreign" else ("--any-code",))])
            assert done.returncode == (1 if version == "lost" else 2), "2: another command line would do"
            assert why in " ".join((done.stdout + done.stderr).split())
    done = run(settings, [*REPRODUCE, model.version, "--any-code", "--dry-run"])
    assert json.loads(done.stdout) == {"dry_run": True, "version": model.version}
    assert len(registry.everything()) == 6, "the refused were not trained"
