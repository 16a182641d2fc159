"""A steady load on serving replicas, from a process of its own; every reply is held against the version it names.

Calls begin on a fixed beat, whether or not earlier ones are answered, and a call's latency counts from when it was
due: a server that stalls cannot slow the load down and so hide the stall.
"""

import argparse
import asyncio
import gc
import json
import signal
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

import grpc
import uvloop

from benchmarks.swap_bundles import NOBODY, K
from nightjar.v1 import recommender_service_pb2 as wire
from nightjar.v1.recommender_service_pb2_grpc import RecommenderServiceStub

CHANNELS: Final = 16  # to each replica, so that the kernel spreads them over its workers
TIMEOUT_S: Final = 10.0


@dataclass
class Load:
    """expected: items by family and user. calls: due time in s since the epoch and latency in ms, of each."""

    expected: Mapping[str, Mapping[str, list[str]]]
    calls: list[tuple[float, float]] = field(default_factory=list)
    num_failed: int = 0
    num_wrong: int = 0
    num_degraded: int = 0
    """Answered without the history, since Redis was slow; right, but worth knowing."""
    examples: list[str] = field(default_factory=list)

    async def call(self, stub: Any, user_id: str, due_time: float) -> None:
        try:
            reply = await stub.Recommend(wire.RecommendRequest(user_id=user_id, k=K), timeout=TIMEOUT_S)
        except Exception as error:  # noqa: BLE001 - whatever fails is a broken promise, and is counted
            self.num_failed += 1
            self._note(f"{type(error).__name__}: {error}")
            return
        self.calls.append((due_time, (time.time() - due_time) * 1_000))
        family = reply.model_version.rpartition("-")[2]
        items = [item.item_id for item in reply.items]
        self.num_degraded += reply.degraded
        if items != self.expected.get(family, {}).get(NOBODY if reply.degraded else user_id):  # or of no known version
            self.num_wrong += 1
            self._note(f"{reply.model_version} gave {user_id} {items} (degraded: {reply.degraded})")

    def _note(self, example: str) -> None:
        if len(self.examples) < 5:
            self.examples.append(example)


async def run(addresses: list[str], rate: float, load: Load) -> None:
    """Until SIGTERM; then waits for what is under way."""
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    options = [("grpc.use_local_subchannel_pool", 1)]
    channels = [grpc.aio.insecure_channel(each, options=options) for each in addresses for _ in range(CHANNELS)]
    stubs = [RecommenderServiceStub(channel) for channel in channels]
    users = sorted(set(next(iter(load.expected.values()))) - {NOBODY})
    start, running = time.time() + 0.5, set[asyncio.Task[None]]()
    number = 0
    while not stop.is_set():
        due_time = start + number / rate
        await asyncio.sleep(max(0.0, due_time - time.time()))
        # The users come in another order at each replica, so that one replica's cached answers are read by the other.
        task = asyncio.create_task(load.call(stubs[number % len(stubs)], users[number * 7 % len(users)], due_time))
        running.add(task)
        task.add_done_callback(running.discard)
        number += 1
    await asyncio.gather(*running)
    for channel in channels:
        await channel.close()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--addresses", required=True, help="of the replicas, with commas between")
    parser.add_argument("--rate", type=float, default=500.0, help="calls a second")
    parser.add_argument("--expected", type=Path, required=True, help="JSON: items by family and user")
    parser.add_argument("--out", type=Path, required=True, help="where the result goes, as JSON, at SIGTERM")
    options = parser.parse_args()
    load = Load(json.loads(options.expected.read_text()))
    gc.freeze()  # a full collection of what was imported would look like a slow server
    uvloop.run(run(options.addresses.split(","), options.rate, load))
    result = {
        "calls": load.calls,
        "failed": load.num_failed,
        "wrong_version": load.num_wrong,
        "degraded": load.num_degraded,
        "examples": load.examples,
    }
    options.out.write_text(json.dumps(result))


if __name__ == "__main__":
    main()
