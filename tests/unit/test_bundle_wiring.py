"""The settings of bundles give the store and the keys they name, or stop the start without showing a key."""

import json
import subprocess
import sys
from pathlib import Path

import pytest

from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.bundle_objects import ObjectBundleStore
from services.adapters.bundle_signatures import Unsigned
from services.bundle_wiring import open_bundles, open_signatures
from services.domain.errors import BundleBroken, InvalidSettings
from services.settings import BundleSettings, Settings, load
from tests.fakes.signing import public, secret
from tests.fakes.tiny_bundle import manifest_of


def bundles(**fields: object) -> BundleSettings:
    return BundleSettings.model_validate(fields)


@pytest.fixture(autouse=True)
def _no_settings_of_this_machine(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.chdir(tmp_path)


def test_without_an_address_bundles_lie_in_the_home(tmp_path: Path) -> None:
    assert isinstance(open_bundles(Settings(home=tmp_path)), FolderBundleStore)


@pytest.mark.parametrize("url", ["s3://bucket/a/b", "gs://bucket", "az://container/a", "file:///{}/objects"])
def test_an_address_names_object_storage_and_nothing_is_asked_yet(tmp_path: Path, url: str) -> None:
    options = {"az": {"account_name": "shop"}, "s3": {"region": "eu-central-1"}}.get(url[:2], {})
    settings = Settings(home=tmp_path, bundles=bundles(url=url.format(str(tmp_path)[1:]), options=options))
    assert isinstance(open_bundles(settings), ObjectBundleStore)


def test_options_come_from_the_environment_and_are_secret(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("NIGHTJAR_BUNDLES__URL", "s3://bucket/models/")
    monkeypatch.setenv("NIGHTJAR_BUNDLES__OPTIONS", '{"secret_access_key": "geheim"}')
    monkeypatch.setenv("NIGHTJAR_BUNDLES__OPTIONS__REGION", "eu-central-1")
    settings = load()
    assert settings.bundles.url == "s3://bucket/models"
    assert {name: value.get_secret_value() for name, value in settings.bundles.options.items()} == {
        "secret_access_key": "geheim",
        "region": "eu-central-1",
    }
    assert "geheim" not in repr(settings) + str(settings.model_dump(mode="json"))


@pytest.mark.parametrize("options", [{"regoin": "eu-central-1"}, {"conditional_put": "perhaps"}, {"http2_only": "1"}])
def test_an_option_that_means_nothing_stops_the_start(tmp_path: Path, options: dict[str, str]) -> None:
    with pytest.raises(InvalidSettings, match=r"bundles\.options"):
        open_bundles(Settings(home=tmp_path, bundles=bundles(url="s3://bucket", options=options)))


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("URL", "https://bucket"),
        ("URL", "memory:///"),
        ("SIGNING_KEY", "geheim"),
        ("SIGNING_KEY", public(1)),
        ("TRUSTED_KEYS", json.dumps(["geheim"])),
        ("TRUSTED_KEYS", json.dumps([public(1), secret(2)])),
        ("OPTIONS", '{"secret_access_key": ["geheim"]}'),
    ],
)
def test_what_cannot_work_stops_the_start_and_no_key_is_shown(
    name: str, value: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"NIGHTJAR_BUNDLES__{name}", value)
    with pytest.raises(InvalidSettings, match="NIGHTJAR_BUNDLES__") as error:
        load()
    for shown in ("geheim", secret(2), public(1)):
        assert shown not in str(error.value)


def test_keys_may_lie_in_files(tmp_path: Path) -> None:
    (tmp_path / "signing").write_text(secret(1) + "\n")
    (tmp_path / "trusted").write_text(f"# the night of 2026\n{public(1)}\n\n{public(2)}\n")
    signer = open_signatures(bundles(signing_key_file=tmp_path / "signing", trusted_keys=[public(3), public(1)]))
    reader = open_signatures(bundles(trusted_keys_file=tmp_path / "trusted"))
    reader.check("v1", b"manifest", signer.sign(b"manifest"))
    with pytest.raises(BundleBroken):
        reader.check("v1", b"manifest", open_signatures(bundles(signing_key=secret(3))).sign(b"manifest"))


@pytest.mark.parametrize("content", ["", "# nothing yet\n", "geheim\n", secret(1)])
def test_a_file_of_trusted_keys_without_any_trusts_nobody(tmp_path: Path, content: str) -> None:
    """Else an empty mount would turn the check off without a word."""
    (tmp_path / "trusted").write_text(content)
    with pytest.raises(InvalidSettings) as error:
        open_signatures(bundles(trusted_keys_file=tmp_path / "trusted"))
    assert not content.strip() or content.strip("\n") not in str(error.value)


def test_a_key_file_that_is_not_there_or_beside_a_key_is_said(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="cannot be read"):
        open_signatures(bundles(signing_key_file=tmp_path / "missing"))
    with pytest.raises(ValueError, match="keep one"):
        bundles(signing_key=secret(1), signing_key_file=tmp_path / "missing")


def test_without_keys_nothing_is_signed_or_refused() -> None:
    assert isinstance(open_signatures(bundles()), Unsigned)


def test_what_is_opened_signs_what_it_publishes(tmp_path: Path) -> None:
    """The keys reach both stores."""
    (tmp_path / "draft").mkdir()
    for url in (None, f"file://{tmp_path}/objects"):
        settings = Settings(home=tmp_path / "home", bundles=bundles(url=url, signing_key=secret(1)))
        trusting = Settings(home=tmp_path / "home", bundles=bundles(url=url, trusted_keys=[public(1)]))
        distrusting = Settings(home=tmp_path / "home", bundles=bundles(url=url, trusted_keys=[public(2)]))
        location = open_bundles(settings).publish(tmp_path / "draft", manifest_of("v1"))
        assert open_bundles(trusting).fetch(location).is_dir()
        with pytest.raises(BundleBroken):
            open_bundles(distrusting).fetch(location)


@pytest.mark.parametrize("url", [None, "s3://bucket"])
def test_libraries_are_imported_where_they_are_asked_for_alone(tmp_path: Path, url: str | None) -> None:
    """A worker starts no slower, and does without the extras, where the settings ask for neither."""
    program = (
        "import sys\n"
        "from services.bundle_wiring import open_bundles\n"
        "from services.settings import BundleSettings, Settings\n"
        f"open_bundles(Settings(bundles=BundleSettings(url={url!r})))\n"
        "print([name for name in ('obstore', 'cryptography', 'torch') if name in sys.modules])\n"
    )
    root = Path(__file__).resolve().parents[2]
    done = subprocess.run([sys.executable, "-c", program], cwd=root, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == str([] if url is None else ["obstore"])
