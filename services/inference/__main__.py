"""`python -m services.inference`: the serving process; see `serve` for what answers, `supervisor` for who keeps it.

Exit codes: 0 stopped, 1 failed (a port in use), 2 wrong settings.
"""

import argparse
import asyncio
import json
import os
import signal
import sys
from pathlib import Path

import structlog

from services import logs
from services.domain.errors import InvalidSettings, NightjarError
from services.inference.addresses import redis_url, reserve_port
from services.inference.supervisor import Supervisor, worker_command
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
        asyncio.run(_supervise(settings, options.ready_file))
    except NightjarError as error:
        sys.stderr.write(f"nightjar: {error}\n")
        return 2 if isinstance(error, InvalidSettings) else 1
    return 0


async def _supervise(settings: Settings, ready_file: Path | None) -> None:
    stop = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, stop.set)
    serve = settings.serve
    reserved, port = reserve_port(serve.host, serve.port)
    log.info("serving_starts", host=serve.host, port=port, settings=settings.model_dump(mode="json"))

    def on_ready() -> None:
        log.info("serving_ready", host=serve.host, port=port)
        if ready_file is not None:
            _write(ready_file, port)

    with reserved:
        _forget(ready_file)
        try:
            await Supervisor(worker_command(serve.host, port), serve.num_workers, serve.drain_s, on_ready).run(stop)
        finally:
            _forget(ready_file)
    log.info("serving_stopped")


def _write(ready_file: Path, port: int) -> None:
    """Whole or not at all: whoever waits for the file reads it the moment it is there."""
    ready_file.parent.mkdir(parents=True, exist_ok=True)
    draft = ready_file.with_name(f".{ready_file.name}.{os.getpid()}")
    draft.write_text(json.dumps({"port": port}) + "\n", encoding="utf-8")
    draft.replace(ready_file)


def _forget(ready_file: Path | None) -> None:
    """A leftover of an earlier run must not say ready."""
    if ready_file is not None:
        ready_file.unlink(missing_ok=True)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
