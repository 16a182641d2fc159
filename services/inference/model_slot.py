"""The model slot: the one reference behind which the live model changes (law 3), and what else could serve at once."""

import asyncio
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import datetime, timedelta

from services.domain.errors import ModelNotReady
from services.domain.ids import ModelVersion
from services.domain.models import Assignment
from services.domain.ports import Clock
from services.inference.live_bundle import BundleAddress, LiveBundle
from services.inference.serving_model import ServingModel


@dataclass(frozen=True, slots=True)
class HeldModel:
    """A loaded model, where it came from, and until when it stays though it does not serve."""

    model: ServingModel
    address: BundleAddress
    until_time: datetime


Load = Callable[[BundleAddress], Awaitable[ServingModel]]
"""Gives the model of a bundle, fit to serve; see Loading."""


class ModelSlot:
    """Holds the live model, the one before it for a while, and one that was loaded to serve next: three at most.

    A swap is one assignment, of a model that is loaded. What the slot lets go of is freed by the last request on it.
    before_flip: given a model that is about to serve, in a thread.
    """

    def __init__(
        self,
        load: Load,
        clock: Clock,
        rollback_window: timedelta,
        before_flip: Callable[[ServingModel], object] = lambda _: None,
    ) -> None:
        self._load = load
        self._clock = clock
        self._rollback_window = rollback_window
        self._before_flip = before_flip
        self._generation = 0
        self._live: HeldModel | None = None
        self._before: HeldModel | None = None
        self._next: HeldModel | None = None
        self._loads: dict[ModelVersion, asyncio.Future[ServingModel]] = {}

    @property
    def generation(self) -> int:
        """The generation that serves; 0 before the first model."""
        return self._generation

    @property
    def version(self) -> ModelVersion | None:
        """The version that serves; None before the first model."""
        return None if self._live is None else self._live.model.version

    @property
    def held(self) -> tuple[ModelVersion, ...]:
        """The versions that can serve without a load, ascending."""
        return tuple(sorted(each.model.version for each in self._all()))

    def loaded(self, bundle: BundleAddress) -> ServingModel | None:
        """The model of a bundle that is held here; None when it would have to be loaded. Safe in any thread."""
        held = self._find(bundle.version)
        return held.model if held is not None and held.address.digest == bundle.digest else None

    def model(self) -> ServingModel:
        """The model to answer a request with, taken once at its start; raises ModelNotReady before the first."""
        if self._live is None:
            raise ModelNotReady("No model is loaded yet; train and promote one, or try again in a few seconds.")
        return self._live.model

    async def hold(self, bundle: BundleAddress, until_time: datetime) -> HeldModel:
        """Makes a version ready to serve until then, beside the one that does; instead of another that was next.

        Whoever asks for a version that is being loaded waits for that load. Whatever is raised by it changes nothing.
        """
        held = self._find(bundle.version)
        if held is None:
            model = await self._loaded(bundle)
            held = self._find(bundle.version)  # somebody else may have waited for the same load
            if held is None:
                self._next = held = HeldModel(model, bundle, until_time)
        if held is self._next:
            self._next = held = _kept_until(held, until_time)
        elif held is self._before:
            self._before = held = _kept_until(held, until_time)
        return held

    async def flip(self, assignment: Assignment) -> LiveBundle | None:
        """Makes an assignment's version serve, without a load; None, and nothing changed, when it is not held."""
        held = self._find(assignment.version)
        if held is None:
            return None
        await self._serve(held, assignment.generation)
        return LiveBundle.of(held.address, assignment.generation, assignment.change_time)

    async def swap_to(self, bundle: LiveBundle) -> None:
        """Makes the bundle's version serve, loaded first where it must be. What is raised leaves the present model."""
        await self._serve(await self.hold(bundle, self._clock.now()), bundle.generation)

    def let_go(self) -> None:
        """Lets go of what need not be held any longer."""
        now = self._clock.now()
        if self._before is not None and now >= self._before.until_time:
            self._before = None
        if self._next is not None and now >= self._next.until_time:
            self._next = None

    async def _serve(self, held: HeldModel, generation: int) -> None:
        if self._live is None or held.model is not self._live.model:
            await asyncio.to_thread(self._before_flip, held.model)
            self._take(held)
        self._generation = generation

    def _take(self, held: HeldModel) -> None:
        old, self._live = self._live, held  # from here on requests begin on another model
        if self._next is not None and self._next.model is held.model:
            self._next = None
        self._before = None if old is None else replace(old, until_time=self._clock.now() + self._rollback_window)
        self.let_go()

    async def _loaded(self, bundle: BundleAddress) -> ServingModel:
        task = self._loads.get(bundle.version)
        if task is None:
            task = self._loads[bundle.version] = asyncio.ensure_future(self._load(bundle))
            task.add_done_callback(lambda done: self._load_ended(bundle.version, done))
        return await asyncio.shield(task)

    def _load_ended(self, version: ModelVersion, task: asyncio.Future[ServingModel]) -> None:
        del self._loads[version]
        if not task.cancelled():
            task.exception()  # whoever waited has it, or went away

    def _find(self, version: ModelVersion) -> HeldModel | None:
        return next((each for each in self._all() if each.model.version == version), None)

    def _all(self) -> list[HeldModel]:
        return [each for each in (self._live, self._before, self._next) if each is not None]


def _kept_until(held: HeldModel, until_time: datetime) -> HeldModel:
    return replace(held, until_time=max(held.until_time, until_time))
