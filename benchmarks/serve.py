"""What an answer costs one worker, beside the bare ladder of the same machine, in one run.

`python -m benchmarks.serve [--rounds N] [--seconds S]`: an encoder of MovieLens-1M's size (3,706 items, 2 blocks,
dimension 64, history 50), k = 20, real Redis, one worker. Closed loads of 32 calls under way on 4 connections from a
process of its own (`benchmarks.grpc_load`), which shares the cores; all servers take turns, and medians of the
rounds count. `server_us`: what the serving process takes of the cores for a call, its gRPC threads included.

cached: 64 users whose answers were given before. miss: users whose answers were not, each asked once a round. p50 and
p99: misses in an open load at a quarter of what the closed one reached. second_worker_memory_ratio: the proportional
set size that a second worker adds, over that of one alone. Prints a table and a JSON line.
"""

import argparse
import asyncio
import base64
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

import psutil
import redis
import redis.asyncio
import uvloop

from benchmarks.serve_bundle import Size, publish, write_histories
from benchmarks.serve_echo import KEY, RECOMMEND
from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from nightjar.v1 import recommender_service_pb2 as wire
from services.adapters.redis_store import RedisStore
from services.domain.ids import UserId
from services.settings import load as load_settings
from tests.integration.serving_process import start

NUM_USERS: Final = 6_000  # more than a round's misses
NUM_CACHED: Final = 64
K: Final = 20
WARM_UP_S: Final = 1.0
AT_ONCE: Final = 64

Figures = dict[str, float]


@dataclass
class Rounds:
    found: dict[str, list[Figures]] = field(default_factory=dict)

    def add(self, what: str, figures: Figures) -> None:
        self.found.setdefault(what, []).append(figures)
        print(f"  {what:24} {figures}", file=sys.stderr, flush=True)

    def median(self, what: str, name: str) -> float:
        return round(median(each[name] for each in self.found[what]), 3)


def load(port: int, server: psutil.Process, requests: Sequence[wire.RecommendRequest], **options: Any) -> Figures:
    """Raises SystemExit when a call fails: then no figure means anything."""
    command = [sys.executable, "-m", "benchmarks.grpc_load", "--port", str(port), "--method", RECOMMEND]
    for name, value in options.items():
        command += [f"--{name.replace('_', '-')}", str(value)]
    messages = "\n".join(base64.b64encode(each.SerializeToString()).decode() for each in requests)
    before = sum(server.cpu_times()[:2])
    done = json.loads(subprocess.run(command, check=True, capture_output=True, text=True, input=messages).stdout)
    if done["failed"]:
        raise SystemExit(f"{done['failed']} calls failed")
    seconds = options["seconds"]
    cpu_s = (sum(server.cpu_times()[:2]) - before) * seconds / (seconds + options.get("warm_up", WARM_UP_S))
    return {
        "rps": done["rps"],
        "server_us": round(1e6 * cpu_s / max(1, done["answered"]), 1),
        "p50_ms": done["p50_ms"],
        "p99_ms": done["p99_ms"],
    }


@contextmanager
def echoing(engine: str, *options: str) -> Iterator[tuple[int, psutil.Process]]:
    command = [sys.executable, "-m", "benchmarks.serve_echo", engine, *options]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None  # noqa: S101 - it is piped
        yield int(process.stdout.readline()), psutil.Process(process.pid)
        process.terminate()


@contextmanager
def working(
    home: Path, redis_url: str, engine: str, num_workers: int = 1
) -> Iterator[tuple[int, list[psutil.Process]]]:
    name = f"-{time.monotonic_ns()}"
    settings = {"SERVE__ENGINE": engine, "SERVE__NUM_WORKERS": str(num_workers), "LOG_LEVEL": "warning"}
    serving = start(home, redis_url, replica=name, **settings)
    try:
        yield int(serving.address.rpartition(":")[2]), serving.workers()
    finally:
        serving.process.terminate()
        serving.process.wait(30)


def asked(users: Sequence[UserId], k: int = K) -> list[wire.RecommendRequest]:
    return [wire.RecommendRequest(user_id=user_id, k=k) for user_id in users]


def forget_answers(redis_url: str) -> None:
    """So that every user is a miss again; the worker is another one."""
    with redis.Redis.from_url(redis_url) as client:
        for keys in _batches(client.scan_iter(b"nj:{*}:a:*", count=5_000)):
            client.delete(*keys)


def _batches(keys: Iterator[bytes]) -> Iterator[list[bytes]]:
    batch = list[bytes]()
    for key in keys:
        batch.append(key)
        if len(batch) == 1_000:
            yield batch
            batch = []
    if batch:
        yield batch


def one_round(rounds: Rounds, home: Path, redis_url: str, users: Sequence[UserId], seconds: float) -> None:
    for engine in ("grpcio", "native"):
        with echoing(engine) as (port, server):
            rounds.add(f"echo {engine}", load(port, server, asked(users[:NUM_CACHED]), seconds=seconds))
        with echoing(engine, "--redis", redis_url) as (port, server):
            rounds.add(f"echo redis {engine}", load(port, server, asked(users[:NUM_CACHED]), seconds=seconds))
        forget_answers(redis_url)
        with working(home, redis_url, engine) as (port, (worker,)):
            rounds.add(f"cached {engine}", load(port, worker, asked(users[:NUM_CACHED]), seconds=seconds))
            fresh = users[NUM_CACHED:]
            rounds.add(f"miss {engine}", load(port, worker, asked(fresh), seconds=seconds, warm_up=0))
        forget_answers(redis_url)
        with working(home, redis_url, engine) as (port, (worker,)):
            rate = rounds.median(f"miss {engine}", "rps") / 4
            # Its first calls warm the worker up, and are not counted; nobody is asked twice.
            rounds.add(f"quarter {engine}", load(port, worker, asked(users), seconds=2 * seconds, rate=rate))


def memory_ratio(home: Path, redis_url: str, users: Sequence[UserId]) -> float:
    """Of the proportional set sizes, once each worker has answered."""
    totals = []
    for num_workers in (1, 2):
        with working(home, redis_url, "grpcio", num_workers) as (port, workers):
            load(port, workers[0], asked(users[:NUM_CACHED]), seconds=1, connections=16)
            totals.append(sum(worker.memory_full_info().pss for worker in workers))
    return round((totals[1] - totals[0]) / totals[0], 3)


async def get_us(get: Callable[[str], Any]) -> float:
    """µs of CPU a GET, so many at once."""

    async def ask(num: int) -> None:
        for _ in range(num):
            await get(KEY)

    await asyncio.gather(*(ask(20) for _ in range(AT_ONCE)))
    start_s = time.process_time()
    await asyncio.gather(*(ask(300) for _ in range(AT_ONCE)))
    return round(1e6 * (time.process_time() - start_s) / (300 * AT_ONCE), 1)


async def gets(redis_url: str) -> dict[str, float]:
    client, store = redis.asyncio.Redis.from_url(redis_url), RedisStore(redis_url, 5)
    found = {"redis.asyncio": await get_us(client.get), "ours": await get_us(lambda key: store.ask(b"", "GET", key))}
    await client.aclose()
    await store.aclose()
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=4.0)
    options = parser.parse_args()
    rounds, port = Rounds(), any_free()
    redis_url = f"redis://{LOOPBACK}:{port}/0"
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with running(valkey.program(valkey.find_server(), folder, port, folder / "valkey.log")):
            home, size = folder / "home", Size()
            home.mkdir()
            publish(load_settings(home=home), size, "v1", folder / "draft")
            users = write_histories(redis_url, size, NUM_USERS)
            with redis.Redis.from_url(redis_url) as client:
                client.set(KEY, b"x" * 200)
            ladder = uvloop.run(gets(redis_url))
            for _ in range(options.rounds):
                one_round(rounds, home, redis_url, users, options.seconds)
            ratio = memory_ratio(home, redis_url, users)
    _tell(rounds, ladder, ratio)


def _tell(rounds: Rounds, ladder: dict[str, float], ratio: float) -> None:
    print(f"one GET, {AT_ONCE} at once, µs of CPU: " + ", ".join(f"{name} {us}" for name, us in ladder.items()))
    print(f"{'':20}  calls/s  server µs  p50 ms  p99 ms")
    for what in rounds.found:
        rps, us, p50, p99 = (rounds.median(what, name) for name in ("rps", "server_us", "p50_ms", "p99_ms"))
        print(f"{what:20}  {rps:7.0f}  {us:9.1f}  {p50:6.2f}  {p99:6.2f}")
    echo = rounds.median("echo redis grpcio", "rps")
    print(f"cached / echo with a GET: {rounds.median('cached grpcio', 'rps') / echo:.2f}")
    print(f"miss / echo with a GET: {rounds.median('miss grpcio', 'rps') / echo:.2f}")
    print(
        f"cached, native / grpcio: {rounds.median('cached native', 'rps') / rounds.median('cached grpcio', 'rps'):.2f}"
    )
    print(
        json.dumps(
            {
                "benchmark": "serve",
                "echo_redis_rps": echo,
                "cached_rps": rounds.median("cached grpcio", "rps"),
                "miss_rps": rounds.median("miss grpcio", "rps"),
                "native_cached_rps": rounds.median("cached native", "rps"),
                "native_miss_rps": rounds.median("miss native", "rps"),
                "p50_ms": rounds.median("quarter grpcio", "p50_ms"),
                "p99_ms": rounds.median("quarter grpcio", "p99_ms"),
                "native_p50_ms": rounds.median("quarter native", "p50_ms"),
                "native_p99_ms": rounds.median("quarter native", "p99_ms"),
                "second_worker_memory_ratio": ratio,
            }
        )
    )


if __name__ == "__main__":
    main()
