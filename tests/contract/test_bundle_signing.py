"""What every bundle store promises about signatures: who is not trusted is refused by name, and may be signed later."""

from collections.abc import Callable
from pathlib import Path
from typing import Protocol

import pytest

from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.bundle_signatures import Signatures
from services.domain.bundles import MANIFEST, SIGNATURE, Manifest, sha256_of
from services.domain.errors import BundleBroken
from tests.contract.bundle_objects import object_store
from tests.fakes.signing import signatures
from tests.fakes.tiny_bundle import manifest_of
from tests.s3 import S3


class Store(Protocol):
    def publish(self, draft: Path, manifest: Manifest) -> str: ...
    def fetch(self, location: str) -> Path: ...
    def sign(self, location: str, digest: str) -> bool: ...


Opener = Callable[[Signatures], Store]


@pytest.fixture(params=["folder", "objects in a folder", "objects in S3"])
def opened(request: pytest.FixtureRequest, tmp_path: Path) -> Opener:
    """Opens the same store as another process would, with keys of its own."""
    if request.param == "folder":
        return lambda keys: FolderBundleStore(tmp_path / "bundles", keys)
    url, options = f"file://{tmp_path}/objects", None
    if request.param == "objects in S3":
        s3: S3 = request.getfixturevalue("s3")
        url, options = s3.new_bucket(), s3.options
    return lambda keys: object_store(tmp_path, url, options, keys)


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    (tmp_path / "draft").mkdir()
    (tmp_path / "draft" / "vocabulary.json").write_bytes(b"{}")
    return tmp_path / "draft"


def test_what_a_trusted_key_signed_is_fetched(opened: Opener, draft: Path) -> None:
    location = opened(signatures(1, 1)).publish(draft, manifest_of("v1"))
    folder = opened(signatures(None, 2, 1)).fetch(location)
    assert (folder / SIGNATURE).read_bytes().startswith(b"ed25519 ")
    assert SIGNATURE not in (folder / MANIFEST).read_text()


def test_an_unsigned_bundle_is_refused_by_who_trusts_keys_alone(opened: Opener, draft: Path) -> None:
    location = opened(signatures(None)).publish(draft, manifest_of("v1"))
    assert opened(signatures(None)).fetch(location).is_dir()
    with pytest.raises(BundleBroken, match="v1 is not signed"):
        opened(signatures(None, 1)).fetch(location)


def test_a_bundle_of_another_key_is_refused(opened: Opener, draft: Path) -> None:
    location = opened(signatures(2)).publish(draft, manifest_of("v1"))
    with pytest.raises(BundleBroken, match=r"manifest\.sig of .*v1 is by the key"):
        opened(signatures(None, 1)).fetch(location)


def test_a_bundle_may_be_signed_later_and_its_manifest_stays(opened: Opener, draft: Path) -> None:
    """Old bundles from before there were keys; a reader that refused it takes it then."""
    location = opened(signatures(None)).publish(draft, manifest_of("v1"))
    digest = sha256_of(opened(signatures(None)).fetch(location) / MANIFEST)
    reader = opened(signatures(None, 1))
    with pytest.raises(BundleBroken):
        reader.fetch(location)
    assert opened(signatures(1, 1)).sign(location, digest)
    assert sha256_of(reader.fetch(location) / MANIFEST) == digest
    assert opened(signatures(2)).sign(location, digest)  # a new key takes the place of the old one
    assert opened(signatures(None, 2)).fetch(location).is_dir()


def test_who_has_no_key_signs_nothing(opened: Opener, draft: Path) -> None:
    location = opened(signatures(None)).publish(draft, manifest_of("v1"))
    digest = sha256_of(opened(signatures(None)).fetch(location) / MANIFEST)
    assert not opened(signatures(None)).sign(location, digest)
    assert not (opened(signatures(None)).fetch(location) / SIGNATURE).exists()


def test_what_is_not_the_registered_bundle_is_never_signed(opened: Opener, draft: Path) -> None:
    location = opened(signatures(None)).publish(draft, manifest_of("v1"))
    with pytest.raises(BundleBroken, match="not the one registered"):
        opened(signatures(1)).sign(location, "0" * 64)
    with pytest.raises(BundleBroken):
        opened(signatures(None, 1)).fetch(location)


def test_a_folder_whose_signed_manifest_was_altered_is_refused_with_its_sums_intact(
    tmp_path: Path, draft: Path
) -> None:
    """Whoever can write the files can write sums that match them, but no signature."""
    folder = (
        tmp_path / "bundles" / FolderBundleStore(tmp_path / "bundles", signatures(1)).publish(draft, manifest_of("v1"))
    )
    manifest = (folder / MANIFEST).read_text()
    (folder / MANIFEST).chmod(0o644)
    (folder / MANIFEST).write_text(manifest.replace('"seed": 0', '"seed": 1'))
    assert FolderBundleStore(tmp_path / "bundles").fetch("v1") == folder
    with pytest.raises(BundleBroken, match="altered"):
        FolderBundleStore(tmp_path / "bundles", signatures(None, 1)).fetch("v1")


def test_a_folder_whose_file_was_altered_is_never_signed(tmp_path: Path, draft: Path) -> None:
    store = FolderBundleStore(tmp_path / "bundles", signatures(1))
    folder = store.fetch(store.publish(draft, manifest_of("v1")))
    (folder / "vocabulary.json").chmod(0o644)
    (folder / "vocabulary.json").write_bytes(b"[]")
    with pytest.raises(BundleBroken, match=r"vocabulary\.json"):
        store.sign("v1", sha256_of(folder / MANIFEST))
