"""What a swap costs whoever is being served: 50 swaps and 50 rollbacks in a row under a steady load.

`python -m benchmarks.swap`: trains two bundles on synthetic events, starts Redis and two replicas of two workers on one
catalog database, loads them with 500 calls a second from a process of its own, and promotes one new version after
another, each of which is rolled back. Each promoted version is another to the workers, so each is loaded, verified and
warmed up; its content is the bundle that the version before it is not. Every reply is held against what its version
recommends. Takes about twelve minutes, two gigabytes of disk, and prints a table and a JSON line:

`flip_spread_p99_ms`: from the first worker's flip to the last one's. `added_p99_ms`: p99 of latencies from the call to
promote or roll back until a quarter of a second after the last flip, less the p99 of the twenty steady seconds before
the first swap that counts. `rollback_ms`: the longest from the decision to the last worker's flip. `rss_growth_mib`: of
all workers, from before the first swap that counts to after the last, when each holds one model again. Failures and
wrong replies count from the first call on.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path
from typing import Any, Final

import numpy as np
import psutil

from benchmarks.swap_bundles import Material, trained
from deploy.embedded import valkey
from deploy.embedded.ports import LOOPBACK, any_free
from deploy.embedded.processes import running
from services.adapters.bundle_folder import FolderBundleStore
from services.registry.promotion import promote, rollback
from services.registry.wiring import open_notice, open_registry, open_rollout
from services.settings import Settings, load
from tests.integration.serving_process import NUM_WORKERS, LogReader, Serving, start
from tests.waiting import wait_until

NUM_REPLICAS: Final = 2
WINDOW_S: Final = 10.0  # the rollback window of the workers; longer than from a swap to its rollback
QUIET_S: Final = 0.75  # between two changes; larger: it takes longer; smaller: too few calls to compare with
STEADY_S: Final = 20.0  # without any change, before the first that counts; larger and smaller: as above
AFTERMATH_S: Final = 0.25  # what a flip leaves behind: caches that are cold for the new version
NUM_WARM_UP: Final = 3  # swaps that don't count: the first of a process imports, and makes threads
ACTOR: Final = "bench-swap"


@dataclass
class Changes:
    """What was seen of each change: its moments in s since the epoch, and the moments of the workers' flips."""

    begins: list[float] = field(default_factory=list)
    flips: list[list[float]] = field(default_factory=list)
    are_rollbacks: list[bool] = field(default_factory=list)

    def spread_ms(self) -> list[float]:
        return [(max(each) - min(each)) * 1_000 for each in self.flips]

    def rollback_ms(self) -> list[float]:
        moments = zip(self.begins, self.flips, self.are_rollbacks, strict=True)
        return [(max(flips) - begin) * 1_000 for begin, flips, is_rollback in moments if is_rollback]

    def touch(self, due_times: Any) -> Any:
        """Which calls were due while a change was going on."""
        touched = np.zeros(len(due_times), dtype=np.bool_)
        for begin, flips in zip(self.begins, self.flips, strict=True):
            touched |= (due_times >= begin) & (due_times <= max(flips) + AFTERMATH_S)
        return touched


class FlipLog:
    """When each worker flipped, as the replicas' logs say."""

    def __init__(self, replicas: Sequence[Serving]) -> None:
        self._logs = [LogReader(replica.log) for replica in replicas]
        self._flips: dict[int, list[float]] = {}

    def of(self, generation: int) -> list[float]:
        """The moments at which workers flipped to it, once all have; empty before."""
        for line in (line for log in self._logs for line in log.new() if line["event"] == "model_swapped"):
            moment = datetime.fromisoformat(line["timestamp"]).timestamp()
            self._flips.setdefault(line["generation"], []).append(moment)
        flips = self._flips.get(generation, [])
        return flips if len(flips) == NUM_REPLICAS * NUM_WORKERS else []


@dataclass
class Stage:
    """All that runs: the replicas and whoever changes what they serve."""

    settings: Settings
    replicas: Sequence[Serving]

    def __post_init__(self) -> None:
        self.registry = open_registry(self.settings)
        self.notice = open_notice(self.settings)
        self.rollout = open_rollout(self.settings)
        self.flips = FlipLog(self.replicas)
        self.changes = Changes()

    def promote(self, version: Any) -> None:
        begin = time.time()
        change = promote(self.registry, self.notice, version, ACTOR, "a benchmark", rollout=self.rollout)
        self._note(begin, change.generation, is_rollback=False)

    def roll_back(self) -> None:
        begin = time.time()
        change = rollback(self.registry, self.notice, ACTOR, rollout=self.rollout)
        self._note(begin, change.generation, is_rollback=True)

    def _note(self, begin: float, generation: int, *, is_rollback: bool) -> None:
        flips = wait_until(lambda: self.flips.of(generation), timeout_s=60, what=f"all serve generation {generation}")
        self.changes.begins.append(begin)
        self.changes.flips.append(flips)
        self.changes.are_rollbacks.append(is_rollback)

    def rss_mib(self) -> float:
        """Of all workers, once each holds one model."""

        def hold_one() -> bool:
            return all(len(worker.held) == 1 for worker in self.rollout.fleet.workers())

        wait_until(hold_one, timeout_s=WINDOW_S + 90, what="every worker holds one model")
        workers, sums = [worker for replica in self.replicas for worker in replica.workers()], list[float]()
        for _ in range(20):  # the least of a few seconds: requests come and go
            sums.append(sum(worker.memory_info().rss for worker in workers) / 2**20)
            time.sleep(0.2)
        return min(sums)


class OtherWork:
    """How busy the machine was with something else, without which no latency can be read."""

    def __init__(self) -> None:
        self._start, self._ours, self._all = time.monotonic(), self._ours_s(), self._all_s()

    def tell(self) -> None:
        wall_s = (time.monotonic() - self._start) * (psutil.cpu_count() or 1)
        ours_s, all_s = self._ours_s() - self._ours, self._all_s() - self._all
        print(
            f"cores were busy {all_s / wall_s:.0%} of the time, {max(0, all_s - ours_s) / wall_s:.0%} with other work"
        )

    def _ours_s(self) -> float:
        me = psutil.Process()
        return sum(sum(each.cpu_times()[:2]) for each in (me, *me.children(recursive=True)))

    def _all_s(self) -> float:
        times = psutil.cpu_times()
        return float(times.user + times.nice + times.system + getattr(times, "steal", 0.0))


@contextmanager
def load_on(replicas: Sequence[Serving], material: Material, folder: Path, rate: float) -> Iterator[Path]:
    """The load, and where its result is once it has ended."""
    expected, result = folder / "expected.json", folder / "result.json"
    expected.write_text(json.dumps(material.expected()))
    addresses = ",".join(replica.address for replica in replicas)
    command = [
        sys.executable, "-m", "benchmarks.swap_load", "--addresses", addresses, "--rate", str(rate),
        "--expected", str(expected), "--out", str(result),
    ]  # fmt: skip
    process = subprocess.Popen(command)
    try:
        yield result
        process.terminate()
        if process.wait(timeout=60) != 0:
            raise SystemExit("The load process failed; see above.")
    finally:
        process.kill()


def measure(folder: Path, bundles: Sequence[Path], num_swaps: int, rate: float) -> dict[str, Any]:
    material = Material.of(dict(zip("ab", bundles, strict=True)))
    with ExitStack() as stack:
        port = any_free()
        server = valkey.program(valkey.find_server(), folder, port, folder / "valkey.log")
        stack.enter_context(running(server))
        url, home = f"redis://{LOOPBACK}:{port}/0", folder / "home"
        settings = load(home=home, redis={"url": url})
        registry, store = open_registry(settings), FolderBundleStore(settings.bundle_folder)
        # Each is rolled back to the first, so that no two neighbours are the same bundle.
        families = "a" + "b" * (NUM_WARM_UP + num_swaps)
        versions = [material.publish(store, registry, at, family) for at, family in enumerate(families)]
        material.write_histories(url)
        first, *rest = versions
        warm_up = [rest.pop(0) for _ in range(NUM_WARM_UP)]
        promote(registry, open_notice(settings), first, ACTOR, "a benchmark")
        replicas = [stack.enter_context(_replica(home, url, str(at))) for at in range(NUM_REPLICAS)]
        stage = Stage(settings, replicas)
        with load_on(replicas, material, folder, rate) as result:
            time.sleep(5)
            for version in warm_up:
                stage.promote(version)
                stage.roll_back()
            before_mib, stage.changes = stage.rss_mib(), Changes()
            others = OtherWork()
            time.sleep(STEADY_S)
            for version in rest:
                time.sleep(QUIET_S)
                stage.promote(version)
                time.sleep(QUIET_S)
                stage.roll_back()
            others.tell()
            after_mib = stage.rss_mib()
        return figures(stage.changes, json.loads(result.read_text()), after_mib - before_mib)


@contextmanager
def _replica(home: Path, redis_url: str, name: str) -> Iterator[Serving]:
    serving = start(home, redis_url, replica=name, SWAP__ROLLBACK_WINDOW_S=str(WINDOW_S), SERVE__POLL_INTERVAL_S="0.5")
    try:
        yield serving
    finally:
        serving.process.terminate()
        serving.process.wait(timeout=30)


def figures(changes: Changes, result: dict[str, Any], growth_mib: float) -> dict[str, Any]:
    num_calls = len(result["calls"]) + result["failed"]
    due_times, latencies_ms = np.array(result["calls"]).T  # (num_calls,) each
    # Not the load's own start, nor the swaps of the warm-up: there calls wait for what happens once a process.
    counts = (due_times >= changes.begins[0] - STEADY_S) & (due_times <= max(changes.flips[-1]) + AFTERMATH_S)
    due_times, latencies_ms = due_times[counts], latencies_ms[counts]
    within = changes.touch(due_times)
    steady = due_times < changes.begins[0]
    p99_within, p99_steady = (float(np.percentile(latencies_ms[mask], 99)) for mask in (within, steady))
    for name, mask in (("before all swaps", steady), ("in a swap", within), ("between swaps", ~within & ~steady)):
        quantiles = np.percentile(latencies_ms[mask], [50, 95, 99, 100])
        print(f"{name}: {mask.sum():,} calls, p50 p95 p99 max {' '.join(f'{each:.2f}' for each in quantiles)} ms")
    print(f"answered without a history, since Redis was slow: {result['degraded']:,}")
    for example in result["examples"]:
        print("amiss:", example)
    return {
        "swaps": changes.are_rollbacks.count(False),
        "rollbacks": changes.are_rollbacks.count(True),
        "calls": num_calls,
        "failed": result["failed"],
        "wrong_version": result["wrong_version"],
        "flip_spread_p99_ms": round(float(np.percentile(changes.spread_ms(), 99)), 1),
        "added_p99_ms": round(p99_within - p99_steady, 2),
        "rollback_ms": round(max(changes.rollback_ms()), 1),
        "rss_growth_mib": round(growth_mib, 1),
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--swaps", type=int, default=50, help="swaps, and as many rollbacks")
    parser.add_argument("--rate", type=float, default=500.0, help="calls a second")
    parser.add_argument("--events", type=int, default=300_000, help="synthetic events that the bundles are trained on")
    parser.add_argument(
        "--bundles", type=Path, nargs=2, help="two bundles' folders of one catalogue, instead of training"
    )
    options = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="bench-swap-") as name:
        folder = Path(name)
        bundles = options.bundles or [trained(folder / f"seed-{seed}", options.events, seed) for seed in (1, 2)]
        row = measure(folder, bundles, options.swaps, options.rate)
    print(json.dumps(row))
    return 0 if row["failed"] == row["wrong_version"] == 0 else 1


if __name__ == "__main__":
    sys.exit(main())
