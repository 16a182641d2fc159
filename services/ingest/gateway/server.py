"""The gateway's gRPC server: EventService, its health, reflection."""

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nightjar.v1.event_service_pb2_grpc import add_EventServiceServicer_to_server
from services.ingest.gateway import servicer
from services.ingest.gateway.recorder import GatewayRecorder
from services.ingest.gateway.servicer import EventServicer
from services.rpc.guard import CallGuard
from services.rpc.reflecting import CONTRACTS


class Health:
    """The health of the server (service name "") and of EventService: serving once Kafka has answered."""

    def __init__(self) -> None:
        self.servicer = health.aio.HealthServicer()

    async def starting(self) -> None:
        await self._set(health_pb2.HealthCheckResponse.NOT_SERVING)

    async def connected(self) -> None:
        await self._set(health_pb2.HealthCheckResponse.SERVING)

    async def stopping(self) -> None:
        """Tells every watcher to go elsewhere, for good."""
        await self.servicer.enter_graceful_shutdown()

    async def _set(self, status: int) -> None:
        for service in (health.OVERALL_HEALTH, servicer.SERVICE):
            await self.servicer.set(service, status)


def build_server(
    events: EventServicer, health_of: Health, recorder: GatewayRecorder, *, max_request_bytes: int, max_calls: int
) -> grpc.aio.Server:
    """A server with everything added and no port yet; build it inside the event loop that runs it."""
    server = grpc.aio.server(
        options=[("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", max_request_bytes)],
        maximum_concurrent_rpcs=max_calls,
    )
    guarded = CallGuard(recorder).around(server)
    add_EventServiceServicer_to_server(events, guarded)
    health_pb2_grpc.add_HealthServicer_to_server(health_of.servicer, guarded)
    reflection.enable_server_reflection(
        (servicer.SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server, CONTRACTS
    )
    return server
