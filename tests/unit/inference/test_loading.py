"""How a model is got ready: the registered bundle or none, in turn with the others of the host, and tried out."""

import asyncio
from collections.abc import AsyncIterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from services.adapters.bundle_folder import FolderBundleStore
from services.domain import bundles
from services.domain.bundles import ENCODER, MANIFEST, TABLES, VOCABULARY, sha256_of
from services.domain.errors import BundleBroken
from services.domain.ids import ModelVersion, UserId
from services.inference import loading
from services.inference.live_bundle import LiveBundle
from services.inference.loading import Loading, load_bundle
from services.inference.recent_requests import RecentRequests
from services.inference.serving_model import ServingModel
from services.inference.turns import in_turn
from tests.fakes.clock import START, FakeClock
from tests.fakes.tiny_bundle import write_bundle, write_draft
from tests.unit.inference.conftest import VECTORS


def bundle(version: str, folder: Path) -> LiveBundle:
    """As it is registered."""
    return LiveBundle(1, START, ModelVersion(version), str(folder), sha256_of(folder / MANIFEST))


@dataclass
class Folders:
    """A BundleStore whose locations are folders; verifies nothing."""

    fetched: list[str] = field(default_factory=list)

    def publish(self, draft: Path, manifest: object) -> str:
        raise NotImplementedError

    def fetch(self, location: str) -> Path:
        self.fetched.append(location)
        return Path(location)


def test_the_bundle_is_fetched_from_where_it_is_registered(tmp_path: Path) -> None:
    folder, store = tmp_path / "anywhere", Folders()
    write_bundle(folder, "v1", vectors=VECTORS)
    assert load_bundle(store, bundle("v1", folder)).version == "v1"
    assert store.fetched == [str(folder)]


def test_a_manifest_other_than_the_registered_one_is_refused(tmp_path: Path) -> None:
    """Law 2: whoever can write the folder cannot make another model of the version."""
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS)
    with pytest.raises(BundleBroken, match="not the one registered"):
        load_bundle(Folders(), replace(bundle("v1", tmp_path / "v1"), digest="1" * 64))


def test_a_bundle_of_another_version_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "v1", "v0", vectors=VECTORS)
    with pytest.raises(BundleBroken, match="version v0, not v1"):
        load_bundle(Folders(), bundle("v1", tmp_path / "v1"))


@pytest.fixture
def published(tmp_path: Path) -> tuple[FolderBundleStore, Path]:
    """A store that holds v1, and where."""
    store = FolderBundleStore(tmp_path / "bundles")
    manifest = write_draft(tmp_path / "draft", "v1", vectors=VECTORS)
    return store, store.fetch(store.publish(tmp_path / "draft", manifest))


@pytest.mark.parametrize("name", [ENCODER, TABLES, VOCABULARY])
def test_a_changed_bit_is_refused_by_name(published: tuple[FolderBundleStore, Path], name: str) -> None:
    """Before anything is swapped, wherever between the store and the slot the sums are compared."""
    store, folder = published
    wanted = replace(bundle("v1", folder), location="v1")
    content = bytearray((folder / name).read_bytes())
    content[-1] ^= 1
    (folder / name).chmod(0o644)
    (folder / name).write_bytes(content)
    with pytest.raises(BundleBroken, match=name):
        load_bundle(store, wanted)


def test_every_file_is_hashed_once_a_swap(
    published: tuple[FolderBundleStore, Path], monkeypatch: pytest.MonkeyPatch
) -> None:
    """A swap under load has no core to spare."""
    store, folder = published
    wanted = replace(bundle("v1", folder), location="v1")
    hashed = []

    def counting(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    for module in (bundles, loading):
        monkeypatch.setattr(module, "sha256_of", counting)
    load_bundle(store, wanted)
    assert sorted(hashed) == sorted([ENCODER, TABLES, VOCABULARY, MANIFEST])


@dataclass
class Bench:
    """A loading of one bundle; `tried`: the versions that were tried out."""

    loading: Loading
    recent: RecentRequests
    wanted: LiveBundle
    lock: Path
    tried: list[str]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Bench]:
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS)
    tried: list[str] = []

    async def try_out(model: ServingModel) -> None:
        tried.append(model.version)

    recent, lock = RecentRequests(FakeClock()), tmp_path / "run" / "loading.lock"
    with ThreadPoolExecutor(1) as threads:
        made = Loading(Folders(), recent, try_out, threads, lock)
        yield Bench(made, recent, bundle("v1", tmp_path / "v1"), lock, tried)


async def test_what_is_loaded_was_tried_out(bench: Bench) -> None:
    assert (await bench.loading(bench.wanted)).version == "v1"
    assert bench.tried == ["v1"]


async def test_a_worker_that_answers_waits_for_its_turn(bench: Bench) -> None:
    bench.recent.note(UserId("ann"), 10)
    async with in_turn(bench.lock):
        load = asyncio.create_task(bench.loading(bench.wanted))
        done, _ = await asyncio.wait([load], timeout=0.1)
        assert not done
    assert (await load).version == "v1"


async def test_a_worker_that_nobody_calls_does_not(bench: Bench) -> None:
    async with in_turn(bench.lock):
        assert (await bench.loading(bench.wanted)).version == "v1"
