import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path

import pytest

from services.adapters.bundle_folder import FolderBundleStore
from services.domain import bundles
from services.domain.bundles import ENCODER, MANIFEST, TABLES, VOCABULARY, sha256_of
from services.domain.errors import BundleBroken, ModelNotReady
from services.domain.ids import ModelVersion
from services.inference import model_slot
from services.inference.live_bundle import BundleAddress, LiveBundle
from services.inference.model_slot import ModelSlot, load_bundle
from services.inference.serving_model import ServingModel, load_serving_model
from tests.fakes.clock import START, FakeClock
from tests.fakes.tiny_bundle import write_bundle, write_draft
from tests.unit.inference.conftest import VECTORS


def slot_of(load: Callable[[BundleAddress], ServingModel], window: timedelta = timedelta(0)) -> ModelSlot:
    """A slot that keeps nothing for a rollback, unless the test says so."""
    return ModelSlot(load, FakeClock(), window)


def bundle(generation: int, version: str, folder: Path | None = None) -> LiveBundle:
    """As it is registered; of a folder its location and digest, else none that can be loaded."""
    location, digest = ("", "") if folder is None else (str(folder), sha256_of(folder / MANIFEST))
    return LiveBundle(generation, START, ModelVersion(version), location, digest)


def test_before_the_first_model_nothing_is_ready(model: ServingModel) -> None:
    slot = slot_of(lambda _: model)
    assert (slot.generation, slot.version) == (0, None)
    with pytest.raises(ModelNotReady):
        slot.model()


async def test_a_swap_changes_model_and_generation_together(model: ServingModel, other_model: ServingModel) -> None:
    by_version = {"v1": model, "v2": other_model}
    slot = slot_of(lambda assigned: by_version[assigned.version])
    await slot.swap_to(bundle(1, "v1"))
    assert (slot.model(), slot.generation) == (model, 1)
    await slot.swap_to(bundle(2, "v2"))
    assert (slot.model(), slot.generation, slot.version) == (other_model, 2, "v2")


async def test_the_event_loop_answers_while_a_model_loads(model: ServingModel) -> None:
    """The load ends only after the loop has done something meanwhile."""
    loop_answered = threading.Event()

    def load(assigned: BundleAddress) -> ServingModel:
        assert loop_answered.wait(timeout=10)
        return model

    slot = slot_of(load)
    swap = asyncio.create_task(slot.swap_to(bundle(1, "v1")))
    await asyncio.sleep(0)
    loop_answered.set()
    await swap
    assert slot.generation == 1


async def test_a_failed_load_leaves_the_old_model(model: ServingModel) -> None:
    def load(assigned: BundleAddress) -> ServingModel:
        if assigned.version == "v2":
            raise BundleBroken("half of it is missing")
        return model

    slot = slot_of(load)
    await slot.swap_to(bundle(1, "v1"))
    with pytest.raises(BundleBroken):
        await slot.swap_to(bundle(2, "v2"))
    assert (slot.model(), slot.generation) == (model, 1)


async def test_a_version_that_serves_already_is_not_loaded_again(model: ServingModel) -> None:
    loaded = []

    def load(assigned: BundleAddress) -> ServingModel:
        loaded.append(assigned.version)
        return model

    slot = slot_of(load)
    await slot.swap_to(bundle(1, "v1"))
    await slot.swap_to(bundle(2, "v1"))
    assert (loaded, slot.generation) == (["v1"], 2)


async def test_the_old_model_is_freed_by_its_last_user(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write_bundle(tmp_path / version, version, vectors=VECTORS)
    slot = slot_of(lambda assigned: load_serving_model(tmp_path / assigned.version))
    await slot.swap_to(bundle(1, "v1"))
    in_use = slot.model()
    old = weakref.ref(in_use)
    await slot.swap_to(bundle(2, "v2"))
    gc.collect()
    assert old() is in_use
    del in_use
    gc.collect()
    assert old() is None


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
    assert load_bundle(store, bundle(1, "v1", folder)).version == "v1"
    assert store.fetched == [str(folder)]


def test_a_manifest_other_than_the_registered_one_is_refused(tmp_path: Path) -> None:
    """Law 2: whoever can write the folder cannot make another model of the version."""
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS)
    with pytest.raises(BundleBroken, match="not the one registered"):
        load_bundle(Folders(), replace(bundle(1, "v1", tmp_path / "v1"), digest="1" * 64))


def test_a_bundle_of_another_version_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "v1", "v0", vectors=VECTORS)
    with pytest.raises(BundleBroken, match="version v0, not v1"):
        load_bundle(Folders(), bundle(1, "v1", tmp_path / "v1"))


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
    wanted = replace(bundle(1, "v1", folder), location="v1")
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
    wanted = replace(bundle(1, "v1", folder), location="v1")
    hashed = []

    def counting(path: Path) -> str:
        hashed.append(path.name)
        return sha256_of(path)

    for module in (bundles, model_slot):
        monkeypatch.setattr(module, "sha256_of", counting)
    load_bundle(store, wanted)
    assert sorted(hashed) == sorted([ENCODER, TABLES, VOCABULARY, MANIFEST])
