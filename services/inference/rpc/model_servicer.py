"""ModelService on the wire. What promotion and rollback mean is decided by the registry; wiring hands them in."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol

import grpc
import structlog

from nightjar.v1 import model_service_pb2 as wire
from nightjar.v1.model_service_pb2_grpc import ModelServiceServicer
from services.domain.audit_words import pin_of
from services.domain.ids import ModelVersion
from services.domain.model_differences import differences
from services.domain.models import Assignment, Pin
from services.domain.ports import ModelRegistry
from services.inference.rpc import models_on_the_wire as written
from services.inference.rpc import validation
from services.inference.rpc.trial_methods import TrialDesk, TrialMethods

log = structlog.get_logger(__name__)

SERVICE: Final = wire.DESCRIPTOR.services_by_name["ModelService"].full_name


class Promote(Protocol):
    """Makes a version live; blocks until the workers are ready for it.

    Raises UnknownVersion, GateNotPassed, InvalidRequest, WorkersNotReady, SwapUnderWay, CatalogDown.
    """

    def __call__(self, version: ModelVersion, actor: str, override_reason: str) -> Assignment: ...


class Rollback(Protocol):
    """Goes back to the version before; blocks, as promotion does where a worker no longer holds it.

    Raises NothingToRollBack, InvalidRequest, WorkersNotReady, CatalogDown.
    """

    def __call__(self, actor: str, reason: str) -> Assignment: ...


CHANGES_LOOKED_AT: Final = 1_000  # of the live model, for when a version was; as the contract says
MAX_CHANGES: Final = 4  # at once; larger: idle threads; smaller: a rollback waits for a promotion's preparation


class ModelServicer(TrialMethods, ModelServiceServicer):
    """Checks requests and calls the registry in a thread, since it blocks.

    Changes have threads of their own: they wait until workers are ready, this one too, and it loads in the others.
    """

    def __init__(self, registry: ModelRegistry, promote: Promote, rollback: Rollback, trials: TrialDesk) -> None:
        super().__init__(trials)
        self._registry = registry
        self._promote = promote
        self._rollback = rollback
        self._threads = ThreadPoolExecutor(MAX_CHANGES, "change")

    def close(self) -> None:
        """Begins no more changes. Those under way must be told to stop by whoever made them pause."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def ListModels(  # noqa: N802 - the contract's name
        self, request: wire.ListModelsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.ListModelsResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        limit = validation.page_size(request.page_size if request.HasField("page_size") else None)
        return await asyncio.to_thread(self._list_models, limit)

    async def GetModel(  # noqa: N802 - the contract's name
        self, request: wire.GetModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.GetModelResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        return await asyncio.to_thread(self._get_model, validation.version(request.version))

    async def DiffModels(  # noqa: N802 - the contract's name
        self, request: wire.DiffModelsRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.DiffModelsResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        first = validation.version(request.first_version, "first_version")
        second = validation.version(request.second_version, "second_version")
        return await asyncio.to_thread(self._diff_models, first, second)

    async def PinModel(  # noqa: N802 - the contract's name
        self, request: wire.PinModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.PinModelResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        version, pin = validation.version(request.version), pin_of(request.actor, request.reason)
        return wire.PinModelResponse(model=await asyncio.to_thread(self._pin, version, pin, pin.actor))

    async def UnpinModel(  # noqa: N802 - the contract's name
        self, request: wire.UnpinModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.UnpinModelResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        version, actor = validation.version(request.version), validation.actor(request.actor)
        return wire.UnpinModelResponse(model=await asyncio.to_thread(self._pin, version, None, actor))

    async def PromoteModel(  # noqa: N802 - the contract's name
        self, request: wire.PromoteModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.PromoteModelResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        version, actor = validation.version(request.version), validation.actor(request.actor)
        made = await self._change(partial(self._promote, version, actor, request.override_reason))
        return wire.PromoteModelResponse(live_version=made.version, generation=made.generation)

    async def RollbackModel(  # noqa: N802 - the contract's name
        self, request: wire.RollbackModelRequest, context: grpc.aio.ServicerContext[Any, Any]
    ) -> wire.RollbackModelResponse:
        """See proto/nightjar/v1/model_service.proto."""
        del context
        actor = validation.actor(request.actor)
        made = await self._change(partial(self._rollback, actor, request.reason))
        return wire.RollbackModelResponse(live_version=made.version, generation=made.generation)

    async def _change(self, change: Callable[[], Assignment]) -> Assignment:
        return await asyncio.get_running_loop().run_in_executor(self._threads, change)

    def _list_models(self, limit: int) -> wire.ListModelsResponse:
        live = self._registry.live()
        live_version = None if live is None else live.version
        models = [written.model(model, live_version) for model in self._registry.newest(limit)]
        return wire.ListModelsResponse(models=models, generation=0 if live is None else live.generation)

    def _get_model(self, version: ModelVersion) -> wire.GetModelResponse:
        model, changes = self._registry.get(version), self._registry.assignments(CHANGES_LOOKED_AT)
        return written.everything_of(model, [each for each in changes if each.version == version], self._live())

    def _diff_models(self, first: ModelVersion, second: ModelVersion) -> wire.DiffModelsResponse:
        return written.apart(differences(self._registry.get(first), self._registry.get(second)))

    def _pin(self, version: ModelVersion, pin: Pin | None, actor: str) -> wire.Model:
        self._registry.pin(version, pin)
        log.info("model_unpinned" if pin is None else "model_pinned", version=version, actor=actor)
        return written.model(self._registry.get(version), self._live())

    def _live(self) -> ModelVersion | None:
        live = self._registry.live()
        return None if live is None else live.version
