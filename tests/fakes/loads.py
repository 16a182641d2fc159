"""Loads of models that a test writes as blocking functions."""

import asyncio
from collections.abc import Callable

from services.inference.live_bundle import BundleAddress
from services.inference.model_slot import Load
from services.inference.serving_model import ServingModel


def in_thread(load: Callable[[BundleAddress], ServingModel]) -> Load:
    """The same, in a thread, as a slot wants it."""

    async def loaded(bundle: BundleAddress) -> ServingModel:
        return await asyncio.to_thread(load, bundle)

    return loaded
