"""A repetition has the settings, the events and the start of the version it repeats, or says why it cannot."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

import pytest

from services.domain.errors import CatalogDown, EventLogDown, InvalidRequest, TrainingFailed, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Model, Provenance
from services.domain.plans import Plan, PlanTable, Precision
from services.settings import Settings, TrainSettings, load
from services.training.asked import Asked
from services.training.code_version import code_version
from services.training.repeating import asked_of, settings_of, start_of, that_needs_its_log
from services.training.start import Starting
from tests.fakes.bundle_store import FakeBundleStore
from tests.fakes.model_registry import REFUSED, FakeModelRegistry, model

A, B = ModelVersion("a"), ModelVersion("b")


def trained(code: str | None = None, **configuration: Any) -> Model:
    told = {"train": {"dim": 16, "seed": 9}, "event_types": [{"name": "buy", "role": "positive"}], **configuration}
    return replace(model("a"), provenance=Provenance(code or code_version(), 9, told))


@pytest.fixture
def ours(tmp_path: Path) -> Settings:
    return load(home=tmp_path, train={"dim": 64, "max_epochs": 3})


def test_the_settings_are_those_of_the_version_and_no_others(ours: Settings) -> None:
    """What it did not say is as it was by default, not as it is set here."""
    was = settings_of(ours, trained(), any_code=False)
    assert was.train == TrainSettings(dim=16, seed=9)
    assert [kind.name for kind in was.event_types] == ["buy"]
    assert was.home == ours.home


@pytest.mark.parametrize(
    ("version", "why"),
    [
        (trained("0.0.1+elsewhere"), "0.0.1\\+elsewhere trained"),
        (model("a"), "without its settings"),
        (trained(train={"dim": 16, "long_gone": 1}), "long_gone"),
        (trained(event_types=[{"name": "BUY"}]), "does not know"),
    ],
    ids=["other code", "nobody kept them", "a setting that is gone", "event types that are none"],
)
def test_what_cannot_be_repeated_says_why(ours: Settings, version: Model, why: str) -> None:
    with pytest.raises(InvalidRequest, match=why):
        settings_of(ours, version, any_code=False)


def test_other_code_may_be_allowed(ours: Settings) -> None:
    assert settings_of(ours, trained("0.0.1+elsewhere"), any_code=True).train.dim == 16


def test_the_plan_is_the_one_that_was_chosen(ours: Settings) -> None:
    """Which one costs least may differ from machine to machine, and figures with it."""
    plans = PlanTable([], Plan(Precision.INT8), 0.01).to_document()
    assert settings_of(ours, trained(plans=plans), any_code=False).train.plan == "int8"


def test_the_events_are_the_same(ours: Settings) -> None:
    asked = Asked(origin="reproduce/a/1", repeats=A)
    assert asked_of(trained(until_us=5), asked) == replace(asked, until_us=5, data_version=7)
    assert asked_of(trained(), asked) == replace(asked, data_version=7)


def test_the_start_is_what_it_started_from_whatever_came_of_that(tmp_path: Path) -> None:
    """Neither the newest, nor by today's mode, nor only what the gate passed."""
    registry = FakeModelRegistry()
    for each in (model("a", verdict=REFUSED, age_s=9), replace(model("b", age_s=8), parent=A), model("c")):
        registry.register(each)
    usual = Starting(registry.newest, FakeBundleStore(tmp_path), "auto", timedelta(days=7))
    assert start_of(registry, A, usual).mode == "full"
    warm = start_of(registry, B, usual)
    assert warm.mode == "incremental"
    assert [(each.version, each.verdict) for each in warm.newest(10)] == [(A, None)]
    registry.register(replace(model("d"), parent=ModelVersion("forgotten")))
    with pytest.raises(UnknownVersion, match="forgotten"):
        start_of(registry, ModelVersion("d"), usual)


@pytest.mark.parametrize("error", [UnknownVersion("Version 7 is gone."), EventLogDown("A file is gone.")])
def test_a_log_that_is_gone_is_told_of_the_version_that_needs_it(error: Exception) -> None:
    asked = Asked(data_version=7, repeats=A)
    with (
        pytest.raises(TrainingFailed, match="a cannot be trained again, since version 7 of the log"),
        that_needs_its_log(asked),
    ):
        raise error
    with pytest.raises(type(error)), that_needs_its_log(Asked()):
        raise error
    with pytest.raises(CatalogDown), that_needs_its_log(asked):
        raise CatalogDown("away")
