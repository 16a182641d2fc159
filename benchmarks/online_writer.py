"""How fast one online writer applies events, and how long after it was produced an event is visible in Redis.

Example: `python -m benchmarks.online_writer --events 200000` prints one JSON line. It starts a Kafka and a Valkey of
its own, and the writer as its process runs it.
"""

import argparse
import json
import os
import subprocess
import sys
import tempfile
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import redis
from confluent_kafka import Producer

from benchmarks import event_stream
from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from nightjar.v1 import event_pb2
from services.adapters.redis_store.keys import directory_key, user_keys
from services.adapters.sql.migrate import upgrade
from services.domain.counters import shard_of
from services.domain.ids import UserId
from services.domain.streams import Partition
from services.settings import Settings

PROBE_EVERY: Final = 20  # larger: fewer samples; smaller: the looking itself takes the machine's time
LOOK_S: Final = 0.001  # how exact a time is; smaller: likewise
TIMEOUT_S: Final = 300.0


@contextmanager
def store() -> Iterator[str]:
    """Address of a Valkey as `nightjar up` starts it, in a folder that is removed afterwards."""
    with tempfile.TemporaryDirectory() as folder:
        port = any_free()
        with running(valkey.program(valkey.find_server(), Path(folder), port, Path(folder) / "valkey.log")):
            yield f"redis://{LOOPBACK}:{port}/0"


def measure_throughput(servers: str, topic: str, redis_url: str, num_events: int) -> dict[str, Any]:
    """Events per second of one writer process that finds them all in the topic, into an emptied Redis.

    The fences are looked at from outside: from the first that is seen to move until all records are behind them.
    """
    with redis.Redis.from_url(redis_url) as client, _writer(servers, topic, redis_url):
        client.flushall()
        first, start = 0, 0.0
        deadline = time.monotonic() + TIMEOUT_S
        while (applied := _applied(client, topic)) < num_events:
            if applied and not first:
                first, start = applied, time.perf_counter()
            if time.monotonic() > deadline:
                raise SystemExit(f"only {applied} of {num_events} events were applied in {TIMEOUT_S:g} s")
            time.sleep(0.02)
        return {"events_per_s": (num_events - first) / (time.perf_counter() - start)}


def measure_visible_ms(
    servers: str, redis_url: str, *, events_per_s: int = 1_000, seconds: float = 20.0
) -> dict[str, float]:
    """p50 and p99 of the milliseconds from the call that produces an event until its history is in Redis.

    Events come evenly; every 20th is a new user's, who is looked for each millisecond.
    """
    topic = event_stream.new_topic(servers)
    with redis.Redis.from_url(redis_url) as client, _writer(servers, topic, redis_url):
        _load(servers, topic, client, events_per_s, 3.0)  # the group has been joined, the scripts are known
        found_ms = _load(servers, topic, client, events_per_s, seconds)
    return {"p50": float(np.percentile(found_ms, 50)), "p99": float(np.percentile(found_ms, 99))}


def _load(servers: str, topic: str, client: redis.Redis, events_per_s: int, seconds: float) -> list[float]:
    producer = Producer({"bootstrap.servers": servers, "linger.ms": 1, "partitioner": "murmur2_random"})
    headers: list[tuple[str, str | bytes | None]] = [("content-type", b"application/x-protobuf")]
    name, total = uuid.uuid4().hex, int(events_per_s * seconds)
    waiting: dict[bytes, float] = {}
    found_ms: list[float] = []
    sent, start, next_look = 0, time.perf_counter(), 0.0
    while sent < total or waiting:
        now = time.perf_counter()
        if now - start > seconds + TIMEOUT_S:
            raise SystemExit(f"{len(waiting)} of {total} events were not seen in Redis")
        while sent < total and sent <= (now - start) * events_per_s:
            is_probe = sent % PROBE_EVERY == 0
            user_id = UserId(f"{name}-{sent}") if is_probe else UserId(f"user-{sent % event_stream.NUM_USERS}")
            event = event_pb2.Event(
                event_id=f"{name}{sent:08}", user_id=user_id, item_id=f"i{sent % 5_000}", type="view"
            )
            event.event_time.FromDatetime(datetime.now(UTC))
            if is_probe:
                waiting[user_keys(user_id).version] = time.perf_counter()
            producer.produce(topic, event.SerializeToString(), user_id, headers=headers)
            sent += 1
        producer.poll(0)
        if waiting and now >= next_look:
            next_look = now + LOOK_S
            keys = list(waiting)
            versions: Any = client.mget(keys)
            seen = time.perf_counter()
            found_ms += [
                (seen - waiting.pop(key)) * 1_000 for key, version in zip(keys, versions, strict=True) if version
            ]
        time.sleep(0.000_3)
    producer.flush()
    return found_ms


@contextmanager
def _writer(servers: str, topic: str, redis_url: str) -> Iterator[None]:
    """The online writer in a process of its own, in a new group and with a catalog database of its own."""
    with tempfile.TemporaryDirectory() as home:
        upgrade(Settings(home=Path(home)).database_url)
        own = {
            "NIGHTJAR_HOME": home,
            "NIGHTJAR_KAFKA__BOOTSTRAP_SERVERS": servers,
            "NIGHTJAR_KAFKA__EVENTS_TOPIC": topic,
            "NIGHTJAR_KAFKA__CONSUMER_GROUP_PREFIX": uuid.uuid4().hex,
            "NIGHTJAR_REDIS__URL": redis_url,
            "NIGHTJAR_LOG_LEVEL": "warning",
        }
        child = subprocess.Popen([sys.executable, "-m", "services.ingest", "online"], env=os.environ | own)
        try:
            yield
        finally:
            child.terminate()
            child.wait(timeout=30)


def _applied(client: redis.Redis, topic: str) -> int:
    shards = [shard_of(Partition(topic, number)) for number in range(event_stream.NUM_PARTITIONS)]
    fences: Any = [client.hget(directory_key(shard).decode(), "fence") for shard in shards]
    return sum(int(fence or 0) for fence in fences)


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=200_000)
    parser.add_argument("--seconds", type=float, default=20.0, help="how long events are produced for visible_ms")
    arguments = parser.parse_args()
    with event_stream.broker() as servers, store() as redis_url:
        topic = event_stream.new_topic(servers)
        event_stream.produce(servers, topic, arguments.events)
        report = {
            "online_events_per_s": measure_throughput(servers, topic, redis_url, arguments.events)["events_per_s"],
            "visible_ms": measure_visible_ms(servers, redis_url, seconds=arguments.seconds),
        }
    print(json.dumps(report))
    return 0


if __name__ == "__main__":
    sys.exit(main())
