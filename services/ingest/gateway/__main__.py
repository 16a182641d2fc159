"""`python -m services.ingest.gateway`: takes events over gRPC, stores them in Kafka, and answers for each.

SIGTERM finishes the running calls. Exit codes: 0 stopped, 1 failed (a port in use), 2 wrong settings.
"""

import argparse
import asyncio
import signal
import sys
import threading
from pathlib import Path
from typing import Final

import structlog
import uvloop

from services import process
from services.domain.errors import InvalidSettings, NightjarError
from services.ingest.gateway.wiring import Parts, build
from services.ready_file import ReadyFile
from services.rpc.listening import grpc_address, reserve_port
from services.settings import Settings, load

log = structlog.get_logger(__name__)

CLOSE_GRACE_S: Final = 2.0  # beyond the drain, for the last events' reports; larger: a stop is slow without Kafka


def main() -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(prog="python -m services.ingest.gateway", description=__doc__)
    parser.add_argument("--ready-file", type=Path, help='there once Kafka has answered: {"port": 50052}')
    arguments = parser.parse_args()
    try:
        settings = load()
        process.begin("gateway", settings)
        uvloop.run(_serve(settings, ReadyFile(arguments.ready_file)))
    except NightjarError as error:
        sys.stderr.write(f"nightjar: {error}\n")
        return 2 if isinstance(error, InvalidSettings) else 1
    return 0


async def _serve(settings: Settings, ready_file: ReadyFile) -> None:
    stop, stopping = asyncio.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    gateway = settings.gateway
    parts = build(settings)
    reserved, port = reserve_port(gateway.host, gateway.port, "NIGHTJAR_GATEWAY")
    with reserved, ready_file:
        await parts.health.starting()
        parts.server.add_insecure_port(grpc_address(gateway.host, port))
        await parts.server.start()
        connecting = asyncio.create_task(_connect(parts, stopping, ready_file, port))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait([connecting, stopped], return_when=asyncio.FIRST_COMPLETED)
        if not (connecting.done() and connecting.exception()):
            await stopped
        stopping.set()
        await _drain(parts, gateway.drain_s)
        await connecting
        await asyncio.to_thread(parts.sender.close, CLOSE_GRACE_S)
    log.info("gateway_stopped")


async def _connect(parts: Parts, stopping: threading.Event, ready_file: ReadyFile, port: int) -> None:
    if await asyncio.to_thread(parts.sender.connect, stopping):
        await parts.health.connected()
        ready_file.announce(port=port)


async def _drain(parts: Parts, drain_s: float) -> None:
    await parts.health.stopping()
    await parts.server.stop(drain_s)
    await asyncio.to_thread(parts.thread.shutdown, cancel_futures=True)


if __name__ == "__main__":
    sys.exit(main())
