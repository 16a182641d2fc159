"""One serving process: `python -m services.inference.worker`, started by the supervisor and ended with it."""

import argparse
import asyncio
import ctypes
import signal
import socket
import sys
from typing import Final

import structlog
import uvloop

from services import logs
from services.domain.errors import InvalidSettings, NightjarError, StartFailed
from services.inference.addresses import grpc_address
from services.inference.rpc.server import build_server
from services.inference.wiring import build
from services.settings import Settings, load

log = structlog.get_logger(__name__)

_PR_SET_PDEATHSIG: Final = 1
CLOSE_GRACE_S: Final = 2  # beyond the drain; a database call that hangs in a thread must not keep the process


def main(arguments: list[str]) -> int:
    """Serves until told to stop, or until the supervisor is gone; returns the exit code."""
    parser = argparse.ArgumentParser(prog="services.inference.worker")
    parser.add_argument("--host", required=True)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--channel", type=int, required=True, help="file descriptor of the socket to the supervisor")
    options = parser.parse_args(arguments)
    _end_with_parent()
    try:
        settings = load()
        logs.configure(settings.log_level, "inference")
        channel = socket.socket(fileno=options.channel)
        uvloop.run(_serve(settings, grpc_address(options.host, options.port), channel))
    except NightjarError as error:
        sys.stderr.write(f"nightjar: {error}\n")
        return 2 if isinstance(error, InvalidSettings) else 1
    return 0


async def _serve(settings: Settings, address: str, channel: socket.socket) -> None:
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stop.set)
    parts = build(settings)
    await parts.health.starting()
    server = build_server(parts.recommender, parts.models, parts.health, parts.recorder)
    try:
        server.add_insecure_port(address)
    except RuntimeError as error:
        raise StartFailed(f"A serving worker cannot listen on {address}: {error}") from error
    await server.start()
    follower = asyncio.create_task(parts.follower.run(settings.serve.poll_interval_s))
    await _tell_and_watch(channel, stop)
    log.info("worker_listening", address=address)
    await stop.wait()
    # The default action of SIGALRM ends the process, should anything below hang.
    signal.setitimer(signal.ITIMER_REAL, settings.serve.drain_s + CLOSE_GRACE_S)
    await parts.health.stopping()
    await server.stop(settings.serve.drain_s)
    follower.cancel()
    await parts.close()
    log.info("worker_stopped")


async def _tell_and_watch(channel: socket.socket, stop: asyncio.Event) -> None:
    """Tells the supervisor that this worker listens, and stops when the supervisor's end is gone."""
    channel.setblocking(False)
    loop = asyncio.get_running_loop()
    loop.add_reader(channel, stop.set)  # the supervisor never writes: readable means gone
    try:
        await loop.sock_sendall(channel, b"\n")
    except OSError:
        stop.set()


def _end_with_parent() -> None:
    """Linux sends SIGTERM when the parent dies, even before this process watches the channel."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
