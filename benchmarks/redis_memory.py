"""What one user's history costs in Redis, measured on a real server: the figures of docs/sizing.md.

Example: `python benchmarks/redis_memory.py` prints a table, then one JSON line. It starts a Valkey of its own.
"""

import json
import sys
import tempfile
from pathlib import Path

import redis
from rich.console import Console
from rich.table import Table

from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from services.adapters.redis_store import HistoryLimits, RedisHistoryWriter
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction

NUM_USERS = 1_000
EVENTS_EACH = (1, 20, 50, 200, 1_000)
LIMITS = HistoryLimits(max_history=200, max_consumed=2_000, ttl_s=86_400)


def measure(url: str, events_each: int) -> float:
    """Bytes a user with this many consuming events, over an empty server."""
    client = redis.Redis.from_url(url)
    client.flushall()
    empty_bytes = client.info("memory")["used_memory"]
    writer = RedisHistoryWriter(url, DEFAULT_EVENT_TYPES, LIMITS)
    for number in range(NUM_USERS):
        user_id = UserId(f"user-{number:08}")
        writer.apply(
            [
                # Ids as long as UUIDs without hyphens, items as long as most shops' numbers.
                Interaction(
                    EventId(f"{number:016x}{n:016x}"), user_id, ItemId(f"item-{n:07}"), "rating", n * 1_000_000, 4.0
                )
                for n in range(events_each)
            ]
        )
    used = client.info("memory")["used_memory"] - empty_bytes
    writer.close()
    client.close()
    return float(used) / NUM_USERS


def main() -> int:
    with tempfile.TemporaryDirectory() as folder:
        port = any_free()
        with running(valkey.program(valkey.find_server(), Path(folder), port, Path(folder) / "valkey.log")):
            measured = {each: measure(f"redis://{LOOPBACK}:{port}/0", each) for each in EVENTS_EACH}
    table = Table(title=f"Redis memory of a history ({NUM_USERS:,} users, 200 events and 2,000 consumed items kept)")
    for heading in ("events a user", "bytes a user", "GiB a million users"):
        table.add_column(heading, justify="right")
    for events_each, size_bytes in measured.items():
        table.add_row(f"{events_each:,}", f"{size_bytes:,.0f}", f"{size_bytes * 1e6 / 2**30:.2f}")
    Console().print(table)
    print(json.dumps({"bytes_per_user": {str(events): round(size) for events, size in measured.items()}}))
    return 0


if __name__ == "__main__":
    sys.exit(main())
