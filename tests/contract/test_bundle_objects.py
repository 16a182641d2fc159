"""Bundles on object storage, over S3's own HTTP: whole or not there at all, written once, and no bit changed unseen."""

import os
import subprocess
import sys
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from services.adapters.bundle_bucket import CHUNK_BYTES, Bucket
from services.adapters.bundle_objects import STEPS, ObjectBundleStore
from services.domain.bundles import MANIFEST, sha256_of
from services.domain.errors import BundleBroken, BundleStoreDown
from tests.contract.bundle_objects import object_store
from tests.fakes.clock import FakeClock
from tests.fakes.tiny_bundle import manifest_of
from tests.s3 import S3

FILES = {"encoder.onnx": b"graph" * 1_000, "tables.safetensors": bytes(range(256)), "vocabulary.json": b"{}"}


@pytest.fixture
def draft(tmp_path: Path) -> Path:
    folder = tmp_path / "draft"
    folder.mkdir()
    for name, content in FILES.items():
        (folder / name).write_bytes(content)
    return folder


@pytest.fixture
def url(s3: S3) -> str:
    return s3.new_bucket()


@pytest.fixture
def bucket(s3: S3, url: str) -> Bucket:
    return Bucket(url, s3.options)


@pytest.fixture
def store(tmp_path: Path, s3: S3, url: str) -> ObjectBundleStore:
    return object_store(tmp_path, url, s3.options)


def keys(bucket: Bucket) -> set[str]:
    return {each.key for each in bucket.listed()}


def key_of(bucket: Bucket, name: str) -> str:
    return next(key for key in keys(bucket) if key.endswith(f"/{name}"))


def test_a_large_file_goes_up_in_parts_and_comes_back_whole(store: ObjectBundleStore, draft: Path) -> None:
    (draft / "tables.safetensors").write_bytes(os.urandom(3 * CHUNK_BYTES + 1))
    folder = store.fetch(store.publish(draft, manifest_of("v1")))
    assert sha256_of(folder / "tables.safetensors") == sha256_of(draft / "tables.safetensors")


@pytest.mark.parametrize("name", sorted(FILES))
@pytest.mark.parametrize("damage", ["truncated", "one bit", "gone"])
def test_a_damaged_object_is_refused_by_name(
    store: ObjectBundleStore, bucket: Bucket, draft: Path, name: str, damage: str
) -> None:
    location = store.publish(draft, manifest_of("v1"))
    key, content = key_of(bucket, name), FILES[name]
    if damage == "truncated":
        bucket.put(key, content[:-1])
    elif damage == "one bit":
        bucket.put(key, bytes([content[0] ^ 1]) + content[1:])
    else:
        bucket.delete([key])
    with pytest.raises(BundleBroken, match=name):
        store.fetch(location)
    bucket.put(key, content)
    assert (store.fetch(location) / name).read_bytes() == content  # mended, it is taken


@pytest.mark.parametrize(
    ("content", "problem"),
    [
        (b"", "cannot be read"),
        (b"\xff", "cannot be read"),
        (manifest_of("v2").to_json().encode(), "holds version v2"),
        (replace(manifest_of("v1"), sha256={"../secret": "0" * 64}).to_json().encode(), "no file of a bundle"),
        (replace(manifest_of("v1"), sha256={"manifest.json": "0" * 64}).to_json().encode(), "no file of a bundle"),
    ],
)
def test_a_manifest_that_means_nothing_is_refused(
    store: ObjectBundleStore, bucket: Bucket, content: bytes, problem: str
) -> None:
    bucket.put("v1/manifest.json", content)
    with pytest.raises(BundleBroken, match=problem):
        store.fetch("v1")


def test_of_two_who_publish_at_once_one_is_refused_and_changes_nothing(
    tmp_path: Path, s3: S3, url: str, bucket: Bucket, draft: Path
) -> None:
    """The second finishes while the first is between its files and its manifest: a night resumed beside a hung one."""
    other = tmp_path / "other"
    other.mkdir()
    (other / "vocabulary.json").write_bytes(b"other")
    (other / "encoder.onnx").write_bytes(FILES["encoder.onnx"])
    second = object_store(tmp_path, url, s3.options)

    def overtake(step: str) -> None:
        if step == "signed":
            second.publish(other, manifest_of("v1"))

    with pytest.raises(FileExistsError):
        object_store(tmp_path, url, s3.options, after_step=overtake).publish(draft, manifest_of("v1"))
    folder = second.fetch("v1")
    assert (folder / "vocabulary.json").read_bytes() == b"other"
    assert len(keys(bucket)) == 3  # nothing of the loser stays


CRASH = """
import json, os, sys
from pathlib import Path
from tests.contract.bundle_objects import object_store
from tests.fakes.tiny_bundle import manifest_of
folder, url, options, draft, fatal = sys.argv[1:]
store = object_store(
    Path(folder), url, json.loads(options), after_step=lambda step: os._exit(9) if step == fatal else None
)
store.publish(Path(draft), manifest_of("v1"))
"""


@pytest.mark.parametrize("step", STEPS)
def test_a_crash_after_any_step_leaves_the_version_whole_or_absent(tmp_path: Path, draft: Path, step: str) -> None:
    url = f"file://{tmp_path}/objects"
    arguments = [sys.executable, "-c", CRASH, str(tmp_path), url, "{}", str(draft), step]
    assert subprocess.run(arguments, check=False).returncode == 9
    store = object_store(tmp_path, url)
    if step == STEPS[-1]:
        assert store.fetch("v1").is_dir()
    else:
        with pytest.raises(BundleBroken, match=MANIFEST):
            store.fetch("v1")
        assert store.fetch(store.publish(draft, manifest_of("v1"))).is_dir()  # the next attempt is not in its way


def test_what_crashes_left_is_swept_away_a_day_later_and_nothing_else(
    tmp_path: Path, s3: S3, url: str, bucket: Bucket, draft: Path
) -> None:
    def crash(step: str) -> None:
        raise KeyboardInterrupt

    clock = FakeClock(datetime.now(UTC))  # the server says when an object was written
    with pytest.raises(KeyboardInterrupt):
        object_store(tmp_path, url, s3.options, after_step=crash).publish(draft, manifest_of("v0"))
    bucket.put("notes/somebody-else.txt", b"")
    store = object_store(tmp_path, url, s3.options, clock=clock)
    store.publish(draft, manifest_of("v1"))
    assert {key.partition("/")[0] for key in keys(bucket)} == {"notes", "v0", "v1"}  # it may be under way
    clock.advance(timedelta(days=1, minutes=1).total_seconds())
    store.publish(draft, manifest_of("v2"))
    assert {key.partition("/")[0] for key in keys(bucket)} == {"notes", "v1", "v2"}
    assert store.fetch("v1").is_dir()


def test_a_bucket_that_is_not_there_says_what_to_check(tmp_path: Path, s3: S3, draft: Path) -> None:
    store = object_store(tmp_path, "s3://nobody-made-this/models", s3.options)
    with pytest.raises(BundleStoreDown, match=r"s3://nobody-made-this/models.*check bundles\.url"):
        store.publish(draft, manifest_of("v1"))
