"""The scheduler's gRPC server: an event loop in a thread, beside the ticks; ScheduleService, its health, reflection."""

import asyncio
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

import grpc
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from nightjar.v1.schedule_service_pb2_grpc import add_ScheduleServiceServicer_to_server
from scheduler.nights_desk import NightsDesk
from scheduler.rpc.servicer import SERVICE, ScheduleServicer
from services.domain.errors import StartFailed
from services.rpc.guard import CallGuard
from services.rpc.listening import grpc_address, reserve_port
from services.rpc.recorder import CallRecorder
from services.rpc.reflecting import CONTRACTS
from services.settings import ScheduleSettings

MAX_REQUEST_BYTES: Final = 65_536  # a reason and a name; larger ones are a mistake or an attack
MAX_CALLS: Final = 64  # larger: memory grows under a flood; smaller: a few dashboards are refused
DRAIN_S: Final = 2.0  # larger: a slow stop; smaller: answers under way are lost


@contextmanager
def served(desk: NightsDesk, schedule: ScheduleSettings) -> Iterator[int | None]:
    """ScheduleService answers meanwhile, on the port that this yields; None where none is set, and nothing is served.

    Raises PortInUse and InvalidSettings. The desk's pause must end when the process is asked to stop.
    """
    if schedule.port is None:
        yield None
        return
    reserved, port = reserve_port(schedule.host, schedule.port, "NIGHTJAR_SCHEDULE")
    with reserved:
        server = _Server(desk, schedule, grpc_address(schedule.host, port))
        server.start()
        try:
            yield port
        finally:
            server.stop()


class _Server:
    """The event loop's thread."""

    def __init__(self, desk: NightsDesk, schedule: ScheduleSettings, address: str) -> None:
        self._desk = desk
        self._schedule = schedule
        self._address = address
        self._loop = asyncio.new_event_loop()
        self._stop = asyncio.Event()
        self._started = threading.Event()
        self._failure: BaseException | None = None
        self._thread = threading.Thread(target=self._run, name="schedule-rpc-loop")

    def start(self) -> None:
        """Blocks until it answers. Raises StartFailed."""
        self._thread.start()
        self._started.wait()
        if self._failure is not None:
            self._thread.join()
            raise StartFailed(f"ScheduleService cannot be served at {self._address}: {self._failure}.")

    def stop(self) -> None:
        """Blocks until the calls under way were answered, or their time is up."""
        self._loop.call_soon_threadsafe(self._stop.set)
        self._thread.join()

    def _run(self) -> None:
        try:
            self._loop.run_until_complete(self._serve())
        except Exception as error:  # noqa: BLE001 - the outermost frame of the thread
            self._failure = error
        finally:
            self._started.set()
            self._loop.close()

    async def _serve(self) -> None:
        health_of = health.aio.HealthServicer()
        servicer = ScheduleServicer(self._desk, self._schedule.nightly_cron, self._schedule.time_zone)
        server = _build(servicer, health_of)
        server.add_insecure_port(self._address)
        for service in (health.OVERALL_HEALTH, SERVICE):
            await health_of.set(service, health_pb2.HealthCheckResponse.SERVING)
        await server.start()
        self._started.set()
        await self._stop.wait()
        await health_of.enter_graceful_shutdown()
        await server.stop(DRAIN_S)
        await asyncio.to_thread(servicer.close)


def _build(servicer: ScheduleServicer, health_of: health.aio.HealthServicer) -> grpc.aio.Server:
    server = grpc.aio.server(
        options=[("grpc.so_reuseport", 1), ("grpc.max_receive_message_length", MAX_REQUEST_BYTES)],
        maximum_concurrent_rpcs=MAX_CALLS,
    )
    guarded = CallGuard(CallRecorder()).around(server)
    add_ScheduleServiceServicer_to_server(servicer, guarded)
    health_pb2_grpc.add_HealthServicer_to_server(health_of, guarded)
    reflection.enable_server_reflection((SERVICE, health.SERVICE_NAME, reflection.SERVICE_NAME), server, CONTRACTS)
    return server
