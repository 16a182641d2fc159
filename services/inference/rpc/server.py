"""The gRPC server of one worker: both services, health for each, reflection."""

from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nightjar.v1.model_service_pb2_grpc import add_ModelServiceServicer_to_server
from nightjar.v1.recommender_service_pb2_grpc import add_RecommenderServiceServicer_to_server
from services.inference.recorder import Recorder
from services.inference.rpc import engines, model_servicer, recommender_servicer
from services.inference.rpc.model_servicer import ModelServicer
from services.inference.rpc.recommender_servicer import RecommenderServicer
from services.rpc.guard import CallGuard
from services.rpc.reflecting import CONTRACTS

MAX_CONCURRENT_CALLS: Final = 1_024  # larger: memory grows under overload; smaller: bursts are refused too early


class Health:
    """The health of the server (service name "") and of each service, as grpc.health.v1 tells it."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()

    async def starting(self) -> None:
        """ModelService works without a model; everything else waits for the first one."""
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING, health.OVERALL_HEALTH, recommender_servicer.SERVICE)
        await self._set(health_pb2.HealthCheckResponse.SERVING, model_servicer.SERVICE, health.SERVICE_NAME)

    async def tell(self, comes: bool) -> None:
        """Whether callers of recommendations should come here; calling it again changes nothing."""
        states = health_pb2.HealthCheckResponse
        status = states.SERVING if comes else states.NOT_SERVING
        await self._set(status, health.OVERALL_HEALTH, recommender_servicer.SERVICE)

    async def stopping(self) -> None:
        """Tells every watcher to go elsewhere, for good."""
        await self.servicer.enter_graceful_shutdown()

    async def _set(self, status: int, *services: str) -> None:
        for service in services:
            await self.servicer.set(service, status)


def build_server(
    recommender: RecommenderServicer,
    models: ModelServicer,
    health_of: Health,
    recorder: Recorder,
    engine: engines.Engine = "grpcio",
) -> grpc.aio.Server:
    """A server with everything added and no port yet; build it inside the event loop that runs it.

    Raises MissingDependency.
    """
    server = engines.new_server(engine)
    guarded = CallGuard(recorder, MAX_CONCURRENT_CALLS).around(server)
    add_RecommenderServiceServicer_to_server(recommender, guarded)
    add_ModelServiceServicer_to_server(models, guarded)
    health_pb2_grpc.add_HealthServicer_to_server(health_of.servicer, guarded)
    services = (recommender_servicer.SERVICE, model_servicer.SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME)
    reflection.enable_server_reflection(services, server, CONTRACTS)
    return server
