"""What a shadow costs those being answered: one worker's event loop, with and without a shadow, in turns.

`python -m benchmarks.shadow`: two bundles of random items, histories in memory, no network and no cache, so that
nothing hides what the shadow takes. Requests come at a steady rate whether or not the one before is answered, and are
timed from when they were due. Takes a minute, and prints a table and a JSON line:

`added_p50_ms`, `added_p99_ms`: median over the pairs of phases of the percentile with a shadow less the one without.
`share_asked`: of the requests, how many the shadow was asked; the others came while it was busy or had to rest.
"""

import argparse
import asyncio
import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Final

import numpy as np

from services import logs
from services.domain.clock import SystemClock
from services.domain.ids import UserId
from services.domain.recommendations import Query
from services.domain.trials import TrialKind
from services.inference.availability import EMPTY, AvailabilitySlot
from services.inference.background import BackgroundTasks
from services.inference.recommend import Recommender
from services.inference.recorder import Recorder
from services.inference.serving_model import ServingModel, load_serving_model
from services.inference.shadowing import Shadowing
from services.inference.trial_slot import TrialSlot
from tests.fakes.history_reader import FakeHistoryReader, history_of
from tests.fakes.tiny_bundle import item_vectors, write_bundle
from tests.fakes.trials import trial

NUM_USERS: Final = 200
SWITCH_INTERVAL_S: Final = 0.001  # as a worker's


class NoCache:
    """Every request is worked out."""

    async def get(self, user_id: UserId, key: bytes) -> bytes | None:
        del user_id, key
        return None

    async def put(self, user_id: UserId, key: bytes, value: bytes) -> None:
        del user_id, key, value


class Worker:
    """What answers in a worker."""

    def __init__(self, live: ServingModel, other: ServingModel) -> None:
        clock, recorder = SystemClock(), Recorder()
        availability = AvailabilitySlot(clock)
        availability.replace(EMPTY, None)
        self.trials = TrialSlot(availability, clock)
        self.held = self.trials.ready(trial(TrialKind.SHADOW, other.version), other, "")
        self.shadowing = Shadowing(self.trials, recorder)
        histories, background = FakeHistoryReader(), BackgroundTasks(256)
        rng = np.random.default_rng(0)
        for user in range(NUM_USERS):
            rows = rng.integers(1, live.index.num_items, 5)
            histories.histories[UserId(str(user))] = history_of(*(f"item-{row}" for row in rows))
        self.recommender = Recommender(
            lambda: live, availability, histories, NoCache(), background, recorder, self.trials, self.shadowing
        )

    async def phase(self, rate: float, seconds: float) -> list[float]:
        """The seconds that each request took, from when it was due."""
        took, start, calls = list[float](), time.perf_counter(), list[asyncio.Task[None]]()
        for number in range(round(rate * seconds)):
            due = start + number / rate
            await asyncio.sleep(max(0.0, due - time.perf_counter()))
            calls.append(asyncio.create_task(self._call(UserId(str(number % NUM_USERS)), due, took)))
        await asyncio.gather(*calls)
        return took

    async def _call(self, user_id: UserId, due: float, took: list[float]) -> None:
        await self.recommender.recommend(Query(user_id, 10))
        took.append(time.perf_counter() - due)


async def measured(worker: Worker, options: argparse.Namespace) -> None:
    """Runs all phases and prints what came of them."""
    added, levels = list[tuple[float, float]](), list[tuple[float, float, float, float]]()
    await worker.phase(options.rate, 1.0)
    for _ in range(options.pairs):
        without = np.percentile(await worker.phase(options.rate, options.seconds), (50, 99)) * 1_000
        worker.trials.hold(worker.held)
        with_shadow = np.percentile(await worker.phase(options.rate, options.seconds), (50, 99)) * 1_000
        worker.trials.let_go(TrialKind.SHADOW)
        levels.append((*without, *with_shadow))
        added.append((float(with_shadow[0] - without[0]), float(with_shadow[1] - without[1])))
    await worker.shadowing.close(1.0)
    likeness = worker.held.tally.now.likeness
    print("p50 (ms)  p99 (ms)  with a shadow: p50  p99")
    for level in levels:
        print("  ".join(f"{each:8.3f}" for each in level))
    p50, p99 = (float(each) for each in np.median(added, axis=0))
    document = {
        "rate": options.rate,
        "num_items": options.items,
        "added_p50_ms": round(p50, 3),
        "added_p99_ms": round(p99, 3),
        "share_asked": round(likeness.num_compared / max(1, likeness.num_compared + likeness.num_dropped), 3),
        "load_1m": round(os.getloadavg()[0], 1),
    }
    print(json.dumps(document))


def main(options: argparse.Namespace) -> None:
    sys.setswitchinterval(SWITCH_INTERVAL_S)
    logs.configure("INFO", "benchmark")
    with tempfile.TemporaryDirectory() as name:
        folder, models = Path(name), list[ServingModel]()
        for seed in range(2):
            vectors = item_vectors(seed, options.items, options.dim)
            write_bundle(folder / f"v{seed}", f"v{seed}", vectors=vectors)
            models.append(load_serving_model(folder / f"v{seed}"))
        asyncio.run(measured(Worker(*models), options))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--items", type=int, default=20_000)
    parser.add_argument("--dim", type=int, default=64)
    parser.add_argument("--rate", type=float, default=100.0, help="requests a second")
    parser.add_argument("--seconds", type=float, default=4.0, help="of a phase")
    parser.add_argument("--pairs", type=int, default=6, help="of phases")
    main(parser.parse_args())
