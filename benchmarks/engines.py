"""What a call costs on either engine: a bare echo of 20 items, and a Recommend whose answer is cached, one worker each.

`python -m benchmarks.engines [--rounds N] [--seconds S]`: the engines take turns, a few rounds each, and the median
counts. The load is closed, 64 calls under way on 8 connections, from a process of its own (`benchmarks.grpc_load`);
both share the machine, so `server_us`, what the serving process takes of the cores for a call, says more than calls/s.
Prints a table and a JSON line.
"""

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from statistics import median
from typing import Any, Final

import grpc
import numpy as np
import psutil
import uvloop

from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from nightjar.v1 import recommender_service_pb2 as wire
from services.inference.rpc.engines import new_server
from tests.integration.serving_process import start, write_events
from tests.waiting import wait_until

ENGINES: Final = ("grpcio", "native")
NUM_ITEMS, DIM, K = 3_706, 64, 20
USER: Final = "42"
RECOMMEND: Final = "/nightjar.v1.RecommenderService/Recommend"
REQUEST: Final = wire.RecommendRequest(user_id=USER, k=K)


async def answer(request: wire.RecommendRequest, _: Any) -> wire.RecommendResponse:
    """As many items as are asked for, made anew for each call, as an answer is."""
    items = [wire.ScoredItem(item_id=str(number), score=0.5, rank=number) for number in range(1, request.k + 1)]
    return wire.RecommendResponse(model_version="v1", items=items)


async def echo(engine: Any) -> None:
    """Serves until it is ended; prints its port."""
    server = new_server(engine, ())
    handler = grpc.unary_unary_rpc_method_handler(
        answer, wire.RecommendRequest.FromString, wire.RecommendResponse.SerializeToString
    )
    service, method = RECOMMEND[1:].split("/")
    server.add_generic_rpc_handlers([grpc.method_handlers_generic_handler(service, {method: handler})])
    server.add_registered_method_handlers(service, {method: handler})  # both, as generated code does
    port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


@contextmanager
def echo_server(engine: str) -> Iterator[tuple[int, psutil.Process]]:
    command = [sys.executable, "-m", "benchmarks.engines", "--echo", engine]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is piped
        yield int(process.stdout.readline()), psutil.Process(process.pid)
        process.terminate()


@contextmanager
def cached_server(engine: str, folder: Path, redis_url: str) -> Iterator[tuple[int, psutil.Process]]:
    """One real worker with a real Redis; the user has a history and a cached answer."""
    home = Path(tempfile.mkdtemp(dir=folder))
    serving = start(home / "home", redis_url, SERVE__ENGINE=engine, SERVE__NUM_WORKERS="1", LOG_LEVEL="warning")
    try:
        vectors = np.random.default_rng(1).normal(size=(NUM_ITEMS, DIM)).astype(np.float32)
        serving.publish(home / "drafts", "v1", vectors)
        serving.promote("v1")

        def is_cached() -> bool:
            try:
                return serving.answer(REQUEST).cache_hit
            except grpc.RpcError:
                return False

        wait_until(is_cached, timeout_s=30, what="the answer is cached")
        (worker,) = serving.workers()
        yield int(serving.address.rpartition(":")[2]), worker
    finally:
        serving.process.terminate()
        serving.process.wait(30)


def load(port: int, server: psutil.Process, seconds: float) -> dict[str, float]:
    command = [
        sys.executable, "-m", "benchmarks.grpc_load", "--port", str(port), "--method", RECOMMEND,
        "--connections", "8", "--streams", "8", "--seconds", str(seconds),
    ]  # fmt: skip
    before = sum(server.cpu_times()[:2])
    message = base64.b64encode(REQUEST.SerializeToString()).decode()
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, input=message).stdout)
    if done["failed"]:
        raise SystemExit(f"{done['failed']} calls failed")
    server_s = sum(server.cpu_times()[:2]) - before
    share = seconds / (seconds + 1.0)  # of the time that the server was loaded: a second to warm up
    return {
        "rps": done["rps"],
        "server_us": 1e6 * server_s * share / done["answered"],
        "client_us": done["cpu_us"],
    }


def measure(rounds: int, seconds: float, folder: Path) -> dict[str, dict[str, float]]:
    port = any_free()
    url = f"redis://{LOOPBACK}:{port}/0"
    found: dict[str, list[dict[str, float]]] = {}
    with running(valkey.program(valkey.find_server(), folder, port, folder / "valkey.log")):
        write_events(url, USER, *(f"item-{row}" for row in range(1, 11)))
        for _ in range(rounds):
            for engine in ENGINES:
                with echo_server(engine) as (at, server):
                    found.setdefault(f"echo {engine}", []).append(load(at, server, seconds))
                with cached_server(engine, folder, url) as (at, server):
                    found.setdefault(f"cached {engine}", []).append(load(at, server, seconds))
    return {
        what: {name: round(median(each[name] for each in runs), 1) for name in runs[0]} for what, runs in found.items()
    }


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--echo", help=argparse.SUPPRESS)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=5.0)
    options = parser.parse_args()
    if options.echo:
        uvloop.run(echo(options.echo))
        return
    with tempfile.TemporaryDirectory() as folder:
        figures = measure(options.rounds, options.seconds, Path(folder))
    print(f"{'':16}  calls/s  server µs  client µs")
    for what, each in figures.items():
        print(f"{what:16}  {each['rps']:7.0f}  {each['server_us']:9.1f}  {each['client_us']:9.1f}")
    print(json.dumps({"engines": figures}))


if __name__ == "__main__":
    main()
