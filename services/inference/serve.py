"""What a worker process does: it listens, follows the live model and the catalog, answers, and drains at a stop."""

import asyncio
import signal
import socket
from collections.abc import Sequence
from typing import Any, Final

import structlog

from services.domain.errors import StartFailed
from services.inference.catalog_follower import CatalogFollower
from services.inference.garbage import set_aside
from services.inference.rpc.server import build_server
from services.inference.wiring import build
from services.settings import Settings

log = structlog.get_logger(__name__)

FIRST_TRY_S: Final = 30.0  # larger: on a hung disk models cannot be managed; smaller: large bundles come too late
CLOSE_GRACE_S: Final = 2.0  # beyond the drain; a database call that hangs in a thread must not keep the process


async def serve(settings: Settings, address: str, channel: socket.socket) -> None:
    """Serves until SIGTERM, or until the supervisor's end of the channel is gone.

    Raises StartFailed, and MissingDependency for an engine that is not installed.
    """
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts = build(settings)
    await parts.health.starting()
    following = [asyncio.create_task(each.run(settings.serve.poll_interval_s)) for each in parts.followers]
    await _first_try(parts.followers, stop)
    server = build_server(parts.recommender, parts.models, parts.health, parts.recorder, settings.serve.engine)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartFailed(f"A serving worker cannot listen on {address}: {error}") from error
    await server.start()
    set_aside()
    await _tell_and_watch(channel, stop)
    log.info("worker_listening", address=address, engine=settings.serve.engine)
    await stop.wait()
    # The default action of SIGALRM ends the process, should anything below hang.
    signal.setitimer(signal.ITIMER_REAL, settings.serve.drain_s + CLOSE_GRACE_S)
    await parts.health.stopping()
    await server.stop(settings.serve.drain_s)
    for task in following:
        task.cancel()
    await parts.close()
    log.info("worker_stopped")


async def _first_try(followers: Sequence[CatalogFollower], stop: asyncio.Event) -> None:
    """Waits until every follower had its first try, or until told to stop.

    From the moment it listens the kernel gives a worker its share of the calls. Without a model each of them fails,
    though the other workers could answer; without the catalog it shows what is hidden. The tries go on when the wait is
    over.
    """
    waits: list[asyncio.Future[Any]] = [
        asyncio.gather(*(each.tried() for each in followers)),
        asyncio.create_task(stop.wait()),
    ]
    await asyncio.wait(waits, timeout=FIRST_TRY_S, return_when=asyncio.FIRST_COMPLETED)
    for wait in waits:
        wait.cancel()


async def _tell_and_watch(channel: socket.socket, stop: asyncio.Event) -> None:
    """Tells the supervisor that this worker listens, and stops when the supervisor's end is gone."""
    channel.setblocking(False)
    loop = asyncio.get_running_loop()
    try:
        await loop.sock_sendall(channel, b"\n")
    except OSError:
        stop.set()

    def supervisor_is_gone() -> None:
        loop.remove_reader(channel)  # the end of a stream stays readable, so this would be called without end
        stop.set()

    loop.add_reader(channel, supervisor_is_gone)  # it never writes, so readable means gone
