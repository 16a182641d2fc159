"""`nightjar models keygen` and `sign` on a real catalog database: the settings they print work, and old models stay."""

import json
import stat
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs
from typer.testing import CliRunner

from services import logs
from services.bundle_wiring import open_bundles
from services.cli import models
from services.domain.bundles import MANIFEST, SIGNATURE, sha256_of
from services.domain.clock import SystemClock
from services.domain.errors import BundleBroken, InvalidRequest, InvalidSettings, UnknownVersion
from services.domain.models import Model
from services.registry.wiring import open_registry
from services.settings import load
from tests.fakes.tiny_bundle import manifest_of

Command = Callable[..., Any]


@pytest.fixture
def run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Command]:
    """Runs a command in this process and returns its text, or with --json its object; raises what it raises."""
    monkeypatch.setattr(logs, "configure", lambda *_: None)  # would hold on to the streams of one test
    monkeypatch.setenv("NIGHTJAR_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)

    def invoke(*arguments: str) -> Any:
        ended = CliRunner().invoke(models.app, list(arguments), standalone_mode=False)
        if ended.exception is not None:
            raise ended.exception
        return json.loads(ended.stdout) if "--json" in arguments else ended.stdout

    with capture_logs():
        yield invoke


@pytest.fixture(params=["folder", "objects"])
def unsigned(request: pytest.FixtureRequest, tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch) -> Model:
    """A registered version from before there were keys."""
    if request.param == "objects":
        monkeypatch.setenv("NIGHTJAR_BUNDLES__URL", f"file://{tmp_path}/objects")
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "vocabulary.json").write_bytes(b"{}")
    manifest, store = manifest_of("v1"), open_bundles(load())
    location = store.publish(tmp_path / "draft", manifest)
    digest = sha256_of(store.fetch(location) / MANIFEST)
    model = Model(manifest.model_version, manifest.kind, SystemClock().now(), location, digest, manifest.data_version)
    open_registry(load()).register(model)
    return model


def set_keys(pair: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name, value in pair.items():
        if name.startswith("NIGHTJAR_"):
            monkeypatch.setenv(name, value)


def test_an_old_model_is_refused_until_it_is_signed(
    unsigned: Model, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    set_keys(run("keygen", "--json"), monkeypatch)
    with pytest.raises(BundleBroken, match="nightjar models sign"):
        open_bundles(load()).fetch(unsigned.location)
    run("sign", unsigned.version, "--dry-run")
    with pytest.raises(BundleBroken):
        open_bundles(load()).fetch(unsigned.location)
    for _ in range(2):
        assert run("sign", unsigned.version, "--json") == {"dry_run": False, "version": "v1"}
        folder = open_bundles(load()).fetch(unsigned.location)
        assert (folder / SIGNATURE).exists()
        assert sha256_of(folder / MANIFEST) == unsigned.digest


def test_without_a_key_nothing_is_signed_and_it_is_said(unsigned: Model, run: Command) -> None:
    with pytest.raises(InvalidSettings, match="keygen"):
        run("sign", unsigned.version)
    with pytest.raises(UnknownVersion):
        run("sign", "v0")


def test_the_text_is_lines_for_an_environment_file(run: Command) -> None:
    lines = [line for line in run("keygen").splitlines() if not line.startswith("#")]
    assert [line.partition("=")[0] for line in lines] == [
        "NIGHTJAR_BUNDLES__SIGNING_KEY",
        "NIGHTJAR_BUNDLES__TRUSTED_KEYS",
    ]


def test_a_secret_file_is_for_its_owner_and_never_written_over(
    tmp_path: Path, run: Command, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "signing.key"
    printed = run("keygen", "--secret-file", str(path), "--json")
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert path.read_text().strip() not in json.dumps(printed)
    set_keys(printed, monkeypatch)
    open_bundles(load())  # the pair fits
    with pytest.raises(InvalidRequest, match="new file"):
        run("keygen", "--secret-file", str(path))
