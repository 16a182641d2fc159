"""Challengers are settings: what each changes of the train section, refused at the start when it cannot be trained."""

import json
from pathlib import Path

import pytest

from services.domain.errors import InvalidRequest, InvalidSettings
from services.settings import Settings, load

VARIABLE = "NIGHTJAR_SCHEDULE__CHALLENGERS"


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("NIGHTJAR_CONFIG", raising=False)


def loaded(monkeypatch: pytest.MonkeyPatch, *challengers: object) -> Settings:
    monkeypatch.setenv(VARIABLE, json.dumps(challengers))
    return load()


def test_whoever_names_none_has_one_that_changes_nothing() -> None:
    settings = load()
    assert [each.name for each in settings.schedule.challengers] == ["nightly"]
    assert settings.of_challenger("nightly") == settings


def test_a_challenger_is_the_train_section_with_its_changes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTJAR_TRAIN__MAX_EPOCHS", "7")
    settings = loaded(monkeypatch, {"name": "warm", "mode": "incremental"}, {"name": "deep", "num_blocks": 3})
    warm, deep = (settings.of_challenger(name).train for name in ("warm", "deep"))
    assert (warm.mode, warm.num_blocks, warm.max_epochs) == ("incremental", None, 7)
    assert (deep.mode, deep.num_blocks, deep.max_epochs) == ("auto", 3, 7)
    assert settings.train.mode == "auto", "the section itself stays as it was"


def test_another_kind_does_not_inherit_options_that_are_not_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTJAR_TRAIN__KIND", "ease")
    monkeypatch.setenv("NIGHTJAR_TRAIN__OPTIONS", '{"l2": 300}')
    settings = loaded(monkeypatch, {"name": "same"}, {"name": "knn", "kind": "item_knn"})
    assert settings.of_challenger("same").train.options == {"l2": 300}
    assert settings.of_challenger("knn").train.options == {}


def test_a_file_may_name_them_as_tables(tmp_path: Path) -> None:
    (tmp_path / "nightjar.toml").write_text(
        '[[schedule.challengers]]\nname = "ease"\nkind = "ease"\noptions = {l2 = 3}'
    )
    assert load().of_challenger("ease").train.options == {"l2": 3}


@pytest.mark.parametrize(
    ("challengers", "problem"),
    [
        ([], "at least 1"),
        ([{"kind": "ease"}], "NAME"),
        ([{"name": "Night_1"}], "NAME"),
        ([{"name": "n" * 41}], "NAME"),
        ([{"name": "a"}, {"name": "b"}, {"name": "a"}], "different names; a stands"),
        ([{"name": "a", "dims": 64}], "'a': dims: Extra inputs"),
        ([{"name": "a", "mode": "hot"}], "'a': mode: Input should be"),
        ([{"name": "a", "dim": 64, "num_heads": 3}], "num_heads"),
        ([{"name": "a", "holdout_fraction": 0.2}], "'a': holdout_fraction: is the same for all"),
        ([{"name": "a", "max_history": 2_000}], "'a': max_history is larger than redis.max_history"),
    ],
    ids=["none", "no name", "capitals", "long", "twice", "unknown", "value", "together", "other questions", "history"],
)
def test_one_that_cannot_be_trained_stops_the_start(
    monkeypatch: pytest.MonkeyPatch, challengers: list[object], problem: str
) -> None:
    with pytest.raises(InvalidSettings, match=problem):
        loaded(monkeypatch, *challengers)


def test_a_name_that_nobody_has_is_said_with_those_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(InvalidRequest, match="one of warm, ease, not 'cold'"):
        loaded(monkeypatch, {"name": "warm"}, {"name": "ease"}).of_challenger("cold")
