"""The settings: bad values stop the start with every problem listed; the environment wins over the file."""

import json
from pathlib import Path

import pytest
from pydantic import ValidationError

from services.domain.errors import InvalidSettings
from services.domain.event_types import DEFAULT_EVENT_TYPES, EventType, Role
from services.settings import Settings, load


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NIGHTJAR_CONFIG", raising=False)


def test_the_defaults_are_valid_and_frozen() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.home = Path("elsewhere")
    with pytest.raises(ValidationError):
        settings.serve.port = 1


def test_every_problem_is_listed_by_the_name_of_its_variable(monkeypatch: pytest.MonkeyPatch) -> None:
    wrong = {
        "NIGHTJAR_SERVE__PORT": "70000",
        "NIGHTJAR_TRAIN__DROPOUT": "much",
        "NIGHTJAR_SCHEDULE__NIGHTLY_CRON": "at night",
        "NIGHTJAR_SCHEDULE__TIME_ZONE": "Mars/Olympus",
        "NIGHTJAR_LOG_LEVEL": "loud",
    }
    for name, value in wrong.items():
        monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings) as error:
        load()
    assert all(name in str(error.value) for name in wrong)
    assert "70000" in str(error.value)


def test_a_file_is_read_and_the_environment_wins(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nightjar.toml").write_text(
        """
        log_level = "debug"
        [serve]
        port = 1234
        num_workers = 7
        [[event_types]]
        name = "listen"
        role = "positive"
        weight = 2.0
        consumes = true
        half_life_s = 3600
        positive_from = 30.0
        negative_to = 5.0
        """
    )
    monkeypatch.setenv("NIGHTJAR_SERVE__PORT", "4321")
    settings = load()
    assert (settings.log_level, settings.serve.port, settings.serve.num_workers) == ("debug", 4321, 7)
    declared = settings.declared_event_types()
    listen = declared.get("listen")
    assert declared.names() == ("listen",)
    assert listen == EventType(
        "listen", Role.POSITIVE, 2.0, consumes=True, half_life_s=3600.0, positive_from=30.0, negative_to=5.0
    )


def test_the_default_event_types_are_declared_as_they_are() -> None:
    assert load().declared_event_types().declared == DEFAULT_EVENT_TYPES.declared


@pytest.mark.parametrize(
    ("role", "weight"), [("positive", 1.0), ("negative", -1.0), ("neutral", 0.0), ("impression", 0.0)]
)
def test_a_type_without_a_weight_counts_one_with_the_sign_of_its_role(role: str, weight: float) -> None:
    (kind,) = load(event_types=[{"name": "wave", "role": role}]).declared_event_types().declared
    assert kind.judge(None).weight == weight


@pytest.mark.parametrize(
    ("fields", "problem"),
    [
        ({"role": "positive", "weight": -1}, "sign"),
        ({"role": "negative", "weight": 1}, "sign"),
        ({"role": "neutral", "weight": -1, "positive_from": 4}, "sign"),
        ({"role": "positive", "weight": 0}, "weight"),
        ({"role": "neutral", "weight": 1}, "says anything"),
        ({"role": "impression", "weight": 1}, "says anything"),
        ({"role": "impression", "positive_from": 4}, "impression"),
        ({"role": "positive", "positive_from": 2, "negative_to": 2}, "smaller"),
        ({"role": "positive", "positive_from": "inf"}, "finite"),
        ({"role": "positive", "half_life_s": 0}, "HALF_LIFE_S"),
    ],
)
def test_an_event_type_that_cannot_mean_what_it_says_stops_the_start(
    fields: dict[str, object], problem: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("NIGHTJAR_EVENT_TYPES", json.dumps([{"name": "wave", **fields}]))
    with pytest.raises(InvalidSettings, match=f"NIGHTJAR_EVENT_TYPES__0.*{problem}"):
        load()


def test_a_named_file_that_is_not_there_is_said(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTJAR_CONFIG", "missing.toml")
    with pytest.raises(InvalidSettings, match=r"missing\.toml"):
        load()


def test_a_file_that_is_no_toml_is_said(tmp_path: Path) -> None:
    (tmp_path / "nightjar.toml").write_text("serve = [")
    with pytest.raises(InvalidSettings):
        load()


def test_an_unknown_name_in_a_section_is_a_problem(monkeypatch: pytest.MonkeyPatch) -> None:
    """A misspelt setting that does nothing is worse than one that stops the start."""
    monkeypatch.setenv("NIGHTJAR_SERVE__PROT", "50051")
    with pytest.raises(InvalidSettings, match="PROT"):
        load()


def test_an_unknown_section_is_a_problem(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "nightjar.toml").write_text("[sevre]\nport = 1\n")
    monkeypatch.setenv("NIGHTJAR_KAKFA__EMBEDDED_PORT", "1")
    with pytest.raises(InvalidSettings) as error:
        load()
    assert "NIGHTJAR_SEVRE" in str(error.value)
    assert "NIGHTJAR_KAKFA__EMBEDDED_PORT" in str(error.value)


def test_serving_must_keep_what_the_model_looks_at(monkeypatch: pytest.MonkeyPatch) -> None:
    """Law 8: otherwise an answer would be computed from less than training saw."""
    monkeypatch.setenv("NIGHTJAR_REDIS__MAX_HISTORY", "10")
    with pytest.raises(InvalidSettings, match=r"redis\.max_history"):
        load()


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("NIGHTJAR_REDIS__URL", "localhost:6379"),
        ("NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS", "localhost:abc"),
        ("NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS", "localhost"),
        ("NIGHTJAR_EVENT_TYPES", "[]"),
        ("NIGHTJAR_EVENT_TYPES", '[{"name":"view","role":"positive"},{"name":"view","role":"negative"}]'),
    ],
)
def test_an_address_or_a_list_that_cannot_work_stops_the_start(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(name, value)
    with pytest.raises(InvalidSettings, match=name):
        load()


def test_no_problem_prints_a_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTJAR_REDIS__URL", "redis://:geheim@host")
    monkeypatch.setenv("NIGHTJAR_TRAIN__MAX_HISTORY", "500")
    with pytest.raises(InvalidSettings) as error:
        load()
    assert "geheim" not in str(error.value)
    monkeypatch.setenv("NIGHTJAR_REDIS__URL", "geheim@host")
    with pytest.raises(InvalidSettings) as error:
        load()
    assert "geheim" not in str(error.value)


def test_secrets_are_masked_where_settings_are_logged(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTJAR_DATABASE__URL", "postgresql://u:geheim@host/db")
    monkeypatch.setenv("NIGHTJAR_REDIS__URL", "redis://:geheim@host")
    settings = load()
    assert "geheim" not in str(settings.model_dump(mode="json")) + repr(settings)
    assert settings.database_url.endswith("geheim@host/db")


def test_all_local_state_lies_in_the_home(tmp_path: Path) -> None:
    settings = Settings(home=tmp_path / "home")
    for folder in (settings.log_folder, settings.bundle_folder):
        assert folder.is_relative_to(tmp_path / "home")
    assert str(tmp_path / "home") in settings.database_url
