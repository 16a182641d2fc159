"""`python -m services.inference`: the serving process; see `serve` for what answers, `supervisor` for who keeps it.

Exit codes: 0 stopped, 1 failed (a port in use), 2 wrong settings.
"""

import argparse
import asyncio
import signal
import sys
from pathlib import Path

import structlog

from services import logs
from services.domain.errors import InvalidSettings, NightjarError
from services.inference.addresses import redis_url
from services.inference.rpc import engines
from services.inference.supervisor import Supervisor, worker_command
from services.ready_file import ReadyFile
from services.rpc.listening import reserve_port
from services.settings import Settings, load

log = structlog.get_logger(__name__)


def main(arguments: list[str]) -> int:
    """Serves until SIGTERM or SIGINT; returns the exit code."""
    parser = argparse.ArgumentParser(
        prog="python -m services.inference", description="Answers gRPC calls. Example: python -m services.inference"
    )
    parser.add_argument(
        "--ready-file", type=Path, help='written when every worker listens: {"port": 50051}; gone at the end'
    )
    options = parser.parse_args(arguments)
    try:
        settings = load()
        logs.configure(settings.log_level, "inference")
        redis_url(settings)  # a missing store is a wrong setting, better said before any worker starts
        engines.check(settings.serve.engine)
        asyncio.run(_supervise(settings, ReadyFile(options.ready_file)))
    except NightjarError as error:
        sys.stderr.write(f"nightjar: {error}\n")
        return 2 if isinstance(error, InvalidSettings) else 1
    return 0


async def _supervise(settings: Settings, ready_file: ReadyFile) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serve = settings.serve
    reserved, port = reserve_port(serve.host, serve.port, "NIGHTJAR_SERVE")
    log.info("serving_starts", host=serve.host, port=port, settings=settings.model_dump(mode="json"))

    def on_ready() -> None:
        ready_file.announce(port=port)

    with reserved, ready_file:
        await Supervisor(worker_command(serve.host, port), serve.num_workers, serve.drain_s, on_ready).run(stop)
    log.info("serving_stopped")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
