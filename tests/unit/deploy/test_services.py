"""What the project's own processes are given."""

from pathlib import Path

import pytest

from deploy.embedded.services import environment
from services.settings import Settings, load
from tests.fakes import signing


def test_a_child_sees_exactly_our_settings(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Secrets, lists and values from arguments included; what our environment said otherwise is gone."""
    monkeypatch.setenv("NIGHTJAR_TRAIN__DIM", "128")
    ours = Settings.model_validate(
        {
            "home": tmp_path,
            "train": {"dim": 32},
            "redis": {"url": "redis://:secret@host:6379/0"},
            "database": {"url": "postgresql+psycopg://user:secret@host/db"},
            "bundles": {
                "url": "s3://models/nightly",
                "options": {"secret_access_key": "secret", "allow_http": "true"},
                "signing_key": signing.secret(1),
                "trusted_keys": [signing.public(1)],
            },
            "event_types": [{"name": "watch", "role": "positive", "consumes": True}],
        }
    )
    for name, value in environment(ours).items():
        monkeypatch.setenv(name, value)
    theirs = load()
    assert theirs.model_copy(update={"cache": ours.cache}) == ours
    assert theirs.cache_folder == ours.cache_folder


def test_a_child_gets_the_rest_of_our_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LANG_OF_TEST", "C")
    assert environment(Settings())["LANG_OF_TEST"] == "C"
