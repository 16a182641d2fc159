"""The model slot: the one reference behind which the live model changes (law 3)."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from services.domain.bundles import MANIFEST, sha256_of
from services.domain.errors import BundleBroken, ModelNotReady
from services.domain.ids import ModelVersion
from services.domain.ports import BundleStore
from services.inference.live_bundle import LiveBundle
from services.inference.serving_model import ServingModel, load_serving_model


@dataclass(frozen=True, slots=True)
class LiveModel:
    """A model and the generation of the assignment that made it live."""

    model: ServingModel
    generation: int


class ModelSlot:
    """Holds the live model. A swap is one assignment; the old model is freed by the last request that uses it.

    load: gives the model of a bundle, verified and warmed up; blocks, so it runs in a thread.
    """

    def __init__(self, load: Callable[[LiveBundle], ServingModel]) -> None:
        self._load = load
        self._live: LiveModel | None = None

    @property
    def generation(self) -> int:
        """The generation that serves; 0 before the first model."""
        return 0 if self._live is None else self._live.generation

    @property
    def version(self) -> ModelVersion | None:
        """The version that serves; None before the first model."""
        return None if self._live is None else self._live.model.version

    def model(self) -> ServingModel:
        """The model to answer a request with, taken once at its start; raises ModelNotReady before the first."""
        if self._live is None:
            raise ModelNotReady("No model is loaded yet; train and promote one, or try again in a few seconds.")
        return self._live.model

    async def swap_to(self, bundle: LiveBundle) -> None:
        """Makes the bundle's version serve. Whatever `load` raises leaves the present model serving."""
        live = self._live
        if live is not None and live.model.version == bundle.version:
            model = live.model  # promoted anew: what is loaded is what is asked for
        else:
            model = await asyncio.to_thread(self._load, bundle)
        self._live = LiveModel(model, bundle.generation)


def load_bundle(bundles: BundleStore, bundle: LiveBundle) -> ServingModel:
    """Fetches, verifies and warms up a bundle; blocks. Raises BundleBroken, also when it is not the registered one."""
    folder = bundles.fetch(bundle.location)  # compares every file with its sum
    if sha256_of(folder / MANIFEST) != bundle.digest:
        raise BundleBroken(f"the manifest in {folder} is not the one registered as {bundle.version}")
    model = load_serving_model(folder)
    if model.version != bundle.version:
        raise BundleBroken(f"the bundle in {folder} is version {model.version}, not {bundle.version}")
    return model
