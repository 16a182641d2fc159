"""How a worker gets a model ready beside the requests it answers meanwhile: in its turn, gently, and tried out."""

import asyncio
from collections.abc import Awaitable, Callable
from concurrent.futures import Executor
from contextlib import nullcontext
from pathlib import Path

from services.domain.bundles import MANIFEST, sha256_of
from services.domain.errors import BundleBroken
from services.domain.ports import BundleStore
from services.inference.garbage import set_aside
from services.inference.live_bundle import BundleAddress
from services.inference.recent_requests import RecentRequests
from services.inference.serving_model import ServingModel, load_serving_model
from services.inference.turns import in_turn


class Loading:
    """Gives the model of a bundle, verified, warmed up, and tried out.

    try_out: see TryingOut. threads: where the blocking part runs. lock: of the workers of one host, which take turns.
    """

    def __init__(
        self,
        bundles: BundleStore,
        recent: RecentRequests,
        try_out: Callable[[ServingModel], Awaitable[None]],
        threads: Executor,
        lock: Path,
    ) -> None:
        self._bundles = bundles
        self._recent = recent
        self._try_out = try_out
        self._threads = threads
        self._lock = lock

    async def __call__(self, bundle: BundleAddress) -> ServingModel:
        """Raises BundleBroken, also for a bundle that is not the registered one, and what the store of bundles raises.

        A worker that nobody calls disturbs nobody, and does not wait for its turn.
        """
        loop = asyncio.get_running_loop()
        async with in_turn(self._lock) if self._recent else nullcontext():
            model = await loop.run_in_executor(self._threads, load_bundle, self._bundles, bundle)
            set_aside()
            await self._try_out(model)
        return model


def load_bundle(bundles: BundleStore, bundle: BundleAddress) -> ServingModel:
    """Fetches, verifies and warms up a bundle; blocks. Raises BundleBroken, also when it is not the registered one."""
    folder = bundles.fetch(bundle.location)  # compares every file with its sum
    if sha256_of(folder / MANIFEST) != bundle.digest:
        raise BundleBroken(f"the manifest in {folder} is not the one registered as {bundle.version}")
    model = load_serving_model(folder)
    if model.version != bundle.version:
        raise BundleBroken(f"the bundle in {folder} is version {model.version}, not {bundle.version}")
    return model
