import asyncio
import gc
import threading
import weakref
from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import pytest

from services.domain.bundles import MANIFEST, sha256_of
from services.domain.errors import BundleBroken, ModelNotReady
from services.domain.ids import ModelVersion
from services.inference.live_bundle import BundleAddress, LiveBundle
from services.inference.model_slot import ModelSlot
from services.inference.serving_model import ServingModel, load_serving_model
from tests.fakes.clock import START, FakeClock
from tests.fakes.loads import in_thread
from tests.fakes.tiny_bundle import write_bundle
from tests.unit.inference.conftest import VECTORS


def slot_of(load: Callable[[BundleAddress], ServingModel], window: timedelta = timedelta(0)) -> ModelSlot:
    """A slot that keeps nothing for a rollback, unless the test says so."""
    return ModelSlot(in_thread(load), FakeClock(), window)


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

    async def load(assigned: BundleAddress) -> ServingModel:
        """Not in a thread, which would remember its last result for a moment."""
        return load_serving_model(tmp_path / assigned.version)

    slot = ModelSlot(load, FakeClock(), timedelta(0))
    await slot.swap_to(bundle(1, "v1"))
    in_use = slot.model()
    old = weakref.ref(in_use)
    await slot.swap_to(bundle(2, "v2"))
    gc.collect()
    assert old() is in_use
    del in_use
    gc.collect()
    assert old() is None
