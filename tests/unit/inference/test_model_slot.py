import asyncio
import gc
import threading
import weakref
from dataclasses import dataclass, field, replace
from pathlib import Path

import pytest

from services.domain.bundles import MANIFEST, sha256_of
from services.domain.errors import BundleBroken, ModelNotReady, UnknownVersion
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.inference.model_slot import ModelSlot, load_assigned
from services.inference.serving_model import ServingModel, load_serving_model
from tests.fakes import model_registry
from tests.fakes.clock import FakeClock
from tests.fakes.model_registry import FakeModelRegistry
from tests.fakes.tiny_bundle import write_bundle
from tests.unit.inference.conftest import VECTORS


def assignment(generation: int, version: str) -> Assignment:
    return Assignment(generation, ModelVersion(version), "test", "", FakeClock().now())


def test_before_the_first_model_nothing_is_ready(model: ServingModel) -> None:
    slot = ModelSlot(lambda _: model)
    assert (slot.generation, slot.version) == (0, None)
    with pytest.raises(ModelNotReady):
        slot.model()


async def test_a_swap_changes_model_and_generation_together(model: ServingModel, other_model: ServingModel) -> None:
    by_version = {"v1": model, "v2": other_model}
    slot = ModelSlot(lambda assigned: by_version[assigned.version])
    await slot.swap_to(assignment(1, "v1"))
    assert (slot.model(), slot.generation) == (model, 1)
    await slot.swap_to(assignment(2, "v2"))
    assert (slot.model(), slot.generation, slot.version) == (other_model, 2, "v2")


async def test_the_event_loop_answers_while_a_model_loads(model: ServingModel) -> None:
    """The load ends only after the loop has done something meanwhile."""
    loop_answered = threading.Event()

    def load(assigned: Assignment) -> ServingModel:
        assert loop_answered.wait(timeout=10)
        return model

    slot = ModelSlot(load)
    swap = asyncio.create_task(slot.swap_to(assignment(1, "v1")))
    await asyncio.sleep(0)
    loop_answered.set()
    await swap
    assert slot.generation == 1


async def test_a_failed_load_leaves_the_old_model(model: ServingModel) -> None:
    def load(assigned: Assignment) -> ServingModel:
        if assigned.version == "v2":
            raise BundleBroken("half of it is missing")
        return model

    slot = ModelSlot(load)
    await slot.swap_to(assignment(1, "v1"))
    with pytest.raises(BundleBroken):
        await slot.swap_to(assignment(2, "v2"))
    assert (slot.model(), slot.generation) == (model, 1)


async def test_a_version_that_serves_already_is_not_loaded_again(model: ServingModel) -> None:
    loaded = []

    def load(assigned: Assignment) -> ServingModel:
        loaded.append(assigned.version)
        return model

    slot = ModelSlot(load)
    await slot.swap_to(assignment(1, "v1"))
    await slot.swap_to(assignment(2, "v1"))
    assert (loaded, slot.generation) == (["v1"], 2)


async def test_the_old_model_is_freed_by_its_last_user(tmp_path: Path) -> None:
    for version in ("v1", "v2"):
        write_bundle(tmp_path / version, version, vectors=VECTORS)
    slot = ModelSlot(lambda assigned: load_serving_model(tmp_path / assigned.version))
    await slot.swap_to(assignment(1, "v1"))
    in_use = slot.model()
    old = weakref.ref(in_use)
    await slot.swap_to(assignment(2, "v2"))
    gc.collect()
    assert old() is in_use
    del in_use
    gc.collect()
    assert old() is None


@dataclass
class Folders:
    """A BundleStore whose locations are folders, unverified: the loader must not rely on it."""

    fetched: list[str] = field(default_factory=list)

    def publish(self, draft: Path, manifest: object) -> str:
        raise NotImplementedError

    def fetch(self, location: str) -> Path:
        self.fetched.append(location)
        return Path(location)


def registered(folder: Path, version: str, digest: str | None = None) -> FakeModelRegistry:
    registry = FakeModelRegistry()
    digest = digest or sha256_of(folder / MANIFEST)
    registry.register(replace(model_registry.model(version), location=str(folder), digest=digest))
    return registry


def test_the_assigned_version_is_fetched_from_where_it_is_registered(tmp_path: Path) -> None:
    folder, store = tmp_path / "anywhere", Folders()
    write_bundle(folder, "v1", vectors=VECTORS)
    assert load_assigned(registered(folder, "v1"), store, assignment(1, "v1")).version == "v1"
    assert store.fetched == [str(folder)]


def test_a_manifest_other_than_the_registered_one_is_refused(tmp_path: Path) -> None:
    """Law 2: whoever can write the folder cannot make another model of the version."""
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS)
    with pytest.raises(BundleBroken, match="not the one registered"):
        load_assigned(registered(tmp_path / "v1", "v1", digest="0" * 64), Folders(), assignment(1, "v1"))


def test_a_bundle_of_another_version_is_refused(tmp_path: Path) -> None:
    write_bundle(tmp_path / "v1", "v0", vectors=VECTORS)
    with pytest.raises(BundleBroken, match="version v0, not v1"):
        load_assigned(registered(tmp_path / "v1", "v1"), Folders(), assignment(1, "v1"))


def test_an_assignment_of_an_unregistered_version_is_refused(tmp_path: Path) -> None:
    with pytest.raises(UnknownVersion):
        load_assigned(FakeModelRegistry(), Folders(), assignment(1, "v1"))
