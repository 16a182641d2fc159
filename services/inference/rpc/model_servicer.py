"""ModelService on the wire. What promotion and rollback mean is decided by the registry; wiring hands them in."""

import asyncio
from collections.abc import Callable, Mapping
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any, Final, Protocol

import grpc
from google.protobuf.timestamp_pb2 import Timestamp

from nightjar.v1 import model_service_pb2 as wire
from nightjar.v1.model_service_pb2_grpc import ModelServiceServicer
from services.domain.ids import ModelVersion
from services.domain.models import Assignment, Model, ModelState
from services.domain.ports import ModelRegistry
from services.inference.rpc import validation

SERVICE: Final = wire.DESCRIPTOR.services_by_name["ModelService"].full_name

_STATES: Final[Mapping[ModelState, wire.ModelState.ValueType]] = {
    ModelState.REGISTERED: wire.MODEL_STATE_REGISTERED,
    ModelState.REFUSED: wire.MODEL_STATE_REFUSED,
    ModelState.PASSED: wire.MODEL_STATE_PASSED,
    ModelState.LIVE: wire.MODEL_STATE_LIVE,
}


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


MAX_CHANGES: Final = 4  # at once; larger: idle threads; smaller: a rollback waits for a promotion's preparation


class ModelServicer(ModelServiceServicer):
    """Checks requests and calls the registry in a thread, since it blocks.

    Changes have threads of their own: they wait until workers are ready, this one too, and it loads in the others.
    """

    def __init__(self, registry: ModelRegistry, promote: Promote, rollback: Rollback) -> None:
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
        models = [_on_the_wire(model, live_version) for model in self._registry.newest(limit)]
        return wire.ListModelsResponse(models=models, generation=0 if live is None else live.generation)


def _on_the_wire(model: Model, live_version: ModelVersion | None) -> wire.Model:
    created_time = Timestamp()
    created_time.FromDatetime(model.created_time)
    findings = () if model.verdict is None else model.verdict.findings
    return wire.Model(
        version=model.version,
        kind=model.kind,
        created_time=created_time,
        data_version=model.data_version,
        metrics=model.metrics,
        state=_STATES[model.state(live_version)],
        findings=[finding.sentence for finding in findings],
    )
