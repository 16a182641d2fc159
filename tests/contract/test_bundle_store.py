"""What every bundle store promises, and, of the folder: whole or not there at all, and no bit changed unseen."""

import os
import subprocess
import sys
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Protocol

import pytest

from services.adapters.bundle_folder import STEPS, FolderBundleStore
from services.domain.bundles import MANIFEST, Manifest, sha256_of, verify
from services.domain.errors import BundleBroken
from services.domain.ids import ModelVersion
from services.domain.ports import BundleStore
from services.domain.ports.models import BundleKeeper
from tests.contract.bundle_objects import object_store, s3_store
from tests.fakes.bundle_store import FakeBundleStore
from tests.fakes.tiny_bundle import manifest_of

FILES = {"encoder.onnx": b"graph" * 1_000, "tables.safetensors": bytes(range(256)), "vocabulary.json": b"{}"}


class KeptStore(BundleStore, BundleKeeper, Protocol):
    """What every store is: one that also clean-up can do its work on."""


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    folder = tmp_path / "draft"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture(params=["fake", "folder", "objects in a folder", "objects in S3"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> KeptStore:
    (tmp_path / "scratch").mkdir()
    stores: dict[str, Callable[[], KeptStore]] = {
        "fake": lambda: FakeBundleStore(tmp_path / "scratch"),
        "folder": lambda: FolderBundleStore(tmp_path / "bundles"),
        "objects in a folder": lambda: object_store(tmp_path, f"file://{tmp_path}/objects"),
        "objects in S3": lambda: s3_store(tmp_path, request.getfixturevalue("s3")),
    }
    return stores[request.param]()


def test_what_is_fetched_is_what_was_published(store: BundleStore, draft: Path) -> None:
    folder = store.fetch(store.publish(draft, manifest_of("v1")))
    assert {path.name: path.read_bytes() for path in folder.iterdir() if path.name != MANIFEST} == FILES


def test_the_manifest_is_kept_and_gains_the_sum_of_every_file(store: BundleStore, draft: Path) -> None:
    folder = store.fetch(store.publish(draft, manifest_of("v1")))
    manifest = Manifest.from_json((folder / MANIFEST).read_text(encoding="utf-8"))
    assert manifest.model_version == "v1"
    assert manifest.sha256 == {name: sha256_of(draft / name) for name in FILES}


def test_a_version_is_published_once(store: BundleStore, draft: Path) -> None:
    """The second attempt is refused and changes nothing."""
    location = store.publish(draft, manifest_of("v1"))
    (draft / "vocabulary.json").write_bytes(b"other")
    with pytest.raises(FileExistsError):
        store.publish(draft, manifest_of("v1"))
    assert (store.fetch(location) / "vocabulary.json").read_bytes() == b"{}"


def test_versions_stand_side_by_side(store: BundleStore, draft: Path) -> None:
    first = store.publish(draft, manifest_of("v1"))
    (draft / "vocabulary.json").write_bytes(b"newer")
    second = store.publish(draft, manifest_of("v2"))
    assert (store.fetch(first) / "vocabulary.json").read_bytes() == b"{}"
    assert (store.fetch(second) / "vocabulary.json").read_bytes() == b"newer"


def test_what_was_never_published_cannot_be_fetched(store: BundleStore) -> None:
    with pytest.raises(BundleBroken):
        store.fetch("absent")


@pytest.mark.parametrize("name", ["../secret", "/etc", "", ".", "..", ".draft-1", "a/b"])
def test_only_names_of_versions_name_bundles(store: BundleStore, draft: Path, name: str) -> None:
    with pytest.raises(BundleBroken):
        store.fetch(name)


def test_what_is_stored_is_listed_with_its_time(store: KeptStore, draft: Path) -> None:
    assert list(store.stored()) == []
    locations = {store.publish(draft, manifest_of(version)) for version in ("v1", "v2")}
    listed = store.stored()
    assert {each.location for each in listed} == locations
    assert len(listed) == 2
    assert all(abs(each.published_time - datetime.now(UTC)) < timedelta(minutes=10) for each in listed)


def test_what_is_deleted_is_gone_and_the_rest_is_whole(store: KeptStore, draft: Path) -> None:
    first, second = store.publish(draft, manifest_of("v1")), store.publish(draft, manifest_of("v1-b"))
    store.delete(first)
    store.delete(first)
    assert [each.location for each in store.stored()] == [second]
    assert store.fetch(second).is_dir()
    assert store.fetch(store.publish(draft, manifest_of("v1"))).is_dir(), "nothing is left in the way of a name"


@pytest.mark.parametrize("name", ["../secret", "/etc", "", ".", "..", ".draft-1", "a/b"])
def test_nothing_but_a_version_is_deleted(store: KeptStore, draft: Path, name: str) -> None:
    store.publish(draft, manifest_of("v1"))
    with pytest.raises(BundleBroken):
        store.delete(name)
    assert len(store.stored()) == 1


def test_a_folder_keeps_what_is_no_bundle_out_of_its_list(tmp_path: Path, draft: Path) -> None:
    """Neither a draft, nor somebody's notes, are anything that clean-up may ever see."""
    store = FolderBundleStore(tmp_path / "bundles")
    store.publish(draft, manifest_of("v1"))
    (tmp_path / "bundles" / "notes").mkdir()
    (tmp_path / "bundles" / ".draft-1").mkdir()
    (tmp_path / "bundles" / ".draft-1" / MANIFEST).write_text("{}", encoding="utf-8")
    assert [each.location for each in store.stored()] == ["v1"]
    store.delete("v1")
    assert sorted(path.name for path in (tmp_path / "bundles").iterdir()) == [".draft-1", "notes"]


def test_a_bundle_that_a_reader_has_open_is_read_to_its_end(tmp_path: Path, draft: Path) -> None:
    store = FolderBundleStore(tmp_path / "bundles")
    with (store.fetch(store.publish(draft, manifest_of("v1"))) / "encoder.onnx").open("rb") as file:
        store.delete("v1")
        assert file.read() == FILES["encoder.onnx"]


def test_publishing_leaves_the_draft_as_it_was(store: BundleStore, draft: Path) -> None:
    store.publish(draft, manifest_of("v1"))
    assert {path.name: path.read_bytes() for path in draft.iterdir()} == FILES


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("damage", ["truncated", "one bit", "gone"])
def test_a_damaged_file_is_refused_by_name(tmp_path: Path, draft: Path, name: str, damage: str) -> None:
    store = FolderBundleStore(tmp_path / "bundles")
    location = store.publish(draft, manifest_of("v1"))
    path = tmp_path / "bundles" / location / name
    path.chmod(0o644)
    content = path.read_bytes()
    if damage == "truncated":
        path.write_bytes(content[:-1])
    elif damage == "one bit":
        path.write_bytes(bytes([content[0] ^ 1]) + content[1:])
    else:
        path.unlink()
    with pytest.raises(BundleBroken, match=name):
        store.fetch(location)


def test_a_folder_without_a_manifest_is_refused(tmp_path: Path, draft: Path) -> None:
    store = FolderBundleStore(tmp_path / "bundles")
    location = store.publish(draft, manifest_of("v1"))
    (tmp_path / "bundles" / location / MANIFEST).unlink()
    with pytest.raises(BundleBroken, match=MANIFEST):
        store.fetch(location)


def test_a_folder_that_holds_another_version_is_refused(tmp_path: Path, draft: Path) -> None:
    store = FolderBundleStore(tmp_path / "bundles")
    (tmp_path / "bundles" / store.publish(draft, manifest_of("v1"))).rename(tmp_path / "bundles" / "v2")
    with pytest.raises(BundleBroken, match="holds version v1"):
        store.fetch("v2")


@pytest.mark.parametrize("location", ["../secret", "/etc", "", ".", "..", ".draft-1", "a/b"])
def test_only_names_of_versions_are_locations(tmp_path: Path, location: str) -> None:
    with pytest.raises(BundleBroken):
        FolderBundleStore(tmp_path / "bundles").fetch(location)


@pytest.mark.parametrize("version", ["../v1", ".v1", "", "a/b"])
def test_a_version_cannot_escape_the_folder(tmp_path: Path, draft: Path, version: str) -> None:
    with pytest.raises(ValueError, match="name of a version"):
        FolderBundleStore(tmp_path / "bundles").publish(draft, manifest_of(version))
    assert not (tmp_path / "v1").exists()


def test_the_published_files_are_read_only(tmp_path: Path, draft: Path) -> None:
    folder = FolderBundleStore(tmp_path / "bundles").fetch(
        FolderBundleStore(tmp_path / "bundles").publish(draft, manifest_of("v1"))
    )
    assert {path.stat().st_mode & 0o222 for path in folder.iterdir()} == {0}


CRASH = """
import os, sys
from pathlib import Path
from services.adapters.bundle_folder import FolderBundleStore
from tests.fakes.tiny_bundle import manifest_of
folder, draft, fatal = sys.argv[1:]
store = FolderBundleStore(Path(folder), after_step=lambda step: os._exit(9) if step == fatal else None)
store.publish(Path(draft), manifest_of("v1"))
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_any_step_leaves_the_version_whole_or_absent(tmp_path: Path, draft: Path, step: str) -> None:
    """The process dies without clean-up; only after the rename is there a version, and then it is whole."""
    folder = tmp_path / "bundles"
    done = subprocess.run([sys.executable, "-c", CRASH, str(folder), str(draft), step], check=False)
    assert done.returncode == 9
    visible = [path for path in folder.iterdir() if not path.name.startswith(".")]
    if step == STEPS[-1]:
        assert [verify(path).model_version for path in visible] == [ModelVersion("v1")]
    else:
        assert visible == []
        store = FolderBundleStore(folder)
        assert store.fetch(store.publish(draft, manifest_of("v1"))).is_dir()  # the next attempt is not in its way


def test_leftovers_of_old_crashes_are_swept_away(tmp_path: Path, draft: Path) -> None:
    """A fresh one may belong to a publish under way, and stays."""
    folder = tmp_path / "bundles"
    old, fresh = folder / ".draft-old", folder / ".draft-fresh"
    for path in (old, fresh):
        path.mkdir(parents=True)
        (path / "encoder.onnx").write_bytes(b"half")
    os.utime(old, (0, 0))
    FolderBundleStore(folder).publish(draft, manifest_of("v1"))
    assert not old.exists()
    assert fresh.exists()
