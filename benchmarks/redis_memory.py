"""What the online features cost in Redis, measured on a real server: the figures of docs/sizing.md.

Example: `python -m benchmarks.redis_memory` prints two tables, then one JSON line. It starts a Valkey of its own, as
`nightjar up` does; `--server-defaults` leaves the options that keep histories compact at what the server comes with.
"""

import argparse
import json
import sys
import tempfile
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any, Final

import redis
from rich.console import Console
from rich.table import Table

from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from services.adapters.redis_server import COMPACT_OPTIONS
from services.adapters.redis_store import CounterLimits, HistoryLimits, RedisCounterWriter, RedisHistoryWriter
from services.domain.clock import SystemClock
from services.domain.counters import CounterBatch, CounterRules, Shard
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.settings import RedisSettings

NUM_USERS: Final = 1_000
EVENTS_EACH: Final = (1, 5, 20, 50, 200, 1_000)
NUM_COUNTED: Final = 200_000
NUM_ITEMS: Final = 50_000
METARANK_GIB: Final = 0.8
"""GiB of Redis that metarank publishes for a million users."""
MIXES: Final = {
    "browsing": ("view",),
    "mixed": ("impression", "impression", "view", "view", "purchase"),
    "consuming": ("rating",),
}
SETTINGS: Final = RedisSettings()
LIMITS: Final = HistoryLimits(SETTINGS.max_history, SETTINGS.max_consumed, SETTINGS.history_ttl_s, SETTINGS.max_shown)


def measure_users(url: str, types: tuple[str, ...], events_each: int) -> float:
    """Bytes a user with this many events, of these types in turn, over an empty server; every key class together."""
    client = redis.Redis.from_url(url)
    empty_bytes = _emptied(client)
    writer, random = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, LIMITS), Random(1)
    for number in range(NUM_USERS):
        user_id = UserId(f"user-{number:08}")
        writer.apply(
            [
                # Events named by UUIDs, items as most shops number them.
                Interaction(
                    EventId(str(uuid.UUID(int=random.getrandbits(128)))),
                    user_id,
                    ItemId(f"item-{n:07}"),
                    types[n % len(types)],
                    1_700_000_000_000_000 + n * 1_000_000,
                    4.0 if types[n % len(types)] == "rating" else None,
                )
                for n in range(events_each)
            ]
        )
    used = client.info("memory")["used_memory"] - empty_bytes
    writer.close()
    client.close()
    return float(used) / NUM_USERS


def measure_counters(url: str) -> dict[str, float]:
    """Bytes of one partition's counters: of an item in one sorted set, of a remembered id, and of all together."""
    client = redis.Redis.from_url(url)
    empty_bytes = _emptied(client)
    clock = SystemClock()
    limits = CounterLimits(
        SETTINGS.counter_max_items, SETTINGS.counter_max_surfaces, SETTINGS.counter_dedupe_offsets, 86_400
    )
    writer = RedisCounterWriter(url, CounterRules(DEFAULT_EVENT_TYPES, SETTINGS.trending_half_life_s), limits, clock)
    random, now_us = Random(1), int(clock.now().timestamp() * 1_000_000)
    events = [
        Interaction(
            EventId(str(uuid.UUID(int=random.getrandbits(128)))),
            UserId("ada"),
            ItemId(f"item-{random.randrange(NUM_ITEMS):07}"),
            "view",
            now_us - random.randrange(3_600) * 1_000_000,
            surface=("home", "search", "")[n % 3],
        )
        for n in range(NUM_COUNTED)
    ]
    writer.apply([CounterBatch(Shard("events/0"), 0, NUM_COUNTED, list(enumerate(events)))])
    writer.close()
    total = float(client.info("memory")["used_memory"] - empty_bytes)
    ids = [(key, client.scard(key)) for key in client.scan_iter("nj:ctr:*:i:*")]
    sets = [(key, client.zcard(key)) for key in client.scan_iter("nj:ctr:*:z:*")]
    report = {
        "bytes_per_id": _bytes_each(client, ids),
        "bytes_per_item": _bytes_each(client, sets),
        "num_sorted_sets": float(len(sets)),
        "bytes_per_partition": total,
    }
    client.close()
    return report


def _bytes_each(client: redis.Redis, keys: list[tuple[Any, Any]]) -> float:
    used = sum(int(client.memory_usage(key, samples=0) or 0) for key, _ in keys)
    return used / max(1, sum(int(size) for _, size in keys))


def _emptied(client: Any) -> int:
    client.execute_command("FLUSHALL", "SYNC")  # the plain one goes on freeing while the next figure is taken
    return int(client.info("memory")["used_memory"])


@contextmanager
def server(*, defaults: bool) -> Iterator[str]:
    with tempfile.TemporaryDirectory() as folder:
        port = any_free()
        program = valkey.program(valkey.find_server(), Path(folder), port, Path(folder) / "valkey.log")
        if defaults:
            command = list(program.command)
            for name in COMPACT_OPTIONS:
                at = command.index(f"--{name}")
                del command[at : at + 2]
            program = replace(program, command=command)
        with running(program):
            yield f"redis://{LOOPBACK}:{port}/0"


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--server-defaults", action="store_true")
    with server(defaults=parser.parse_args().server_defaults) as url:
        users = {mix: {each: measure_users(url, types, each) for each in EVENTS_EACH} for mix, types in MIXES.items()}
        counters = measure_counters(url)
    console = Console(width=120)
    table = Table(
        title=f"Redis memory of users ({NUM_USERS:,} measured; metarank publishes {METARANK_GIB} GiB a million)"
    )
    for heading in ("events", "events a user", "bytes a user", "bytes an event", "GiB a million users"):
        table.add_column(heading, justify="right")
    for mix, sizes in users.items():
        for each, size in sizes.items():
            table.add_row(mix, f"{each:,}", f"{size:,.0f}", f"{size / each:,.0f}", f"{size * 1e6 / 2**30:.2f}")
    console.print(table)
    for name, value in counters.items():
        console.print(f"counters of a partition, {name}: {value:,.1f}")
    print(json.dumps({"bytes_per_user": users, "counters": counters}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
