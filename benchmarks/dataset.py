"""How fast, and in how much memory, a log becomes what a model is fitted to.

`python -m benchmarks.dataset [millions ...]`: writes a log of so many million events (default 1 5 20; 138 thousand
users, 27 thousand items, 60 days, half the events on a tenth of the items), then reads it and builds the dataset in a
process of its own, so that the memory is that of nothing else. Prints a table and a JSON line. 100 needs about 4 GB of
disk for the log while it runs.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import numpy as np
import pyarrow as pa
from deltalake import write_deltalake

from services.adapters.delta_log import DeltaEventLog
from services.adapters.delta_log.rows import DAY_US, SCHEMA
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.training.data.by_time import build_dataset
from services.training.kinds.sequence.batches import Batcher, plan_epoch

NUM_USERS: Final = 138_000
NUM_ITEMS: Final = 27_000
NUM_DAYS: Final = 60
START_US: Final = 1_700_006_400_000_000  # a midnight
NUM_BATCHES: Final = 200


def write_log(folder: Path, num_events: int) -> None:
    """A day's events a commit, in time order."""
    for day in _days(num_events):
        write_deltalake(folder, day, mode="append", partition_by=["event_date"])


def _days(num_events: int) -> Iterator[pa.Table]:
    random, a_day = np.random.default_rng(1), num_events // NUM_DAYS
    users = pa.array([f"user-{number:07d}" for number in range(NUM_USERS)])
    items = pa.array([f"item-{number:06d}" for number in range(NUM_ITEMS)])
    types = pa.array(["view", "click", "cart", "purchase"])
    for day in range(NUM_DAYS):
        times_us = START_US + day * DAY_US + np.sort(random.integers(DAY_US, size=a_day))
        columns: dict[str, pa.Array] = {
            "event_date": pa.array(times_us // DAY_US, pa.int32()).cast(pa.date32()),
            "event_time": pa.array(times_us).cast(pa.timestamp("us", "UTC")),
            "event_id": pa.array(np.char.mod("%016x", random.integers(2**63, size=a_day))),
            "user_id": users.take(pa.array((NUM_USERS * random.random(a_day) ** 1.5).astype(np.int64))),
            "item_id": items.take(pa.array((NUM_ITEMS * random.random(a_day) ** 3.3).astype(np.int64))),
            "event_type": types.take(pa.array(random.choice(4, a_day, p=[0.7, 0.2, 0.06, 0.04]))),
        }
        nothing = {field.name: pa.nulls(a_day, field.type) for field in SCHEMA if field.name not in columns}
        yield pa.table({**columns, **nothing}).select(SCHEMA.names).cast(SCHEMA)


def measure(folder: Path) -> dict[str, Any]:
    """In this process: seconds of each step, and the most memory held."""
    # torch is loaded before the clock starts: a training process has it anyway.
    from services.training.evaluation.protocol_figures import peak_rss_mib

    before_mib, started = peak_rss_mib(), time.monotonic()
    log = DeltaEventLog(folder)
    events = log.read(log.version())
    read_s = time.monotonic() - started
    num_events = len(events)
    dataset = build_dataset(
        events, DEFAULT_EVENT_TYPES, holdout_fraction=0.1, validation_fraction=0.05, min_item_events=1
    )
    del events
    ready_s, peak_mib = time.monotonic() - started, peak_rss_mib()
    started = time.monotonic()
    plan = plan_epoch(dataset.sequences, 100, 8_192, np.random.default_rng(0))
    plan_s, started = time.monotonic() - started, time.monotonic()
    batcher = Batcher(dataset.sequences, np.random.default_rng(0))
    targets = sum(len(batcher.gather(windows).targets) for windows in plan[:NUM_BATCHES])
    return {
        "events": num_events,
        "read_s": round(read_s, 2),
        "ready_s": round(ready_s, 2),
        "events_per_s": round(num_events / ready_s),
        "peak_rss_mib": round(peak_mib),
        "of_it_before_mib": round(before_mib),
        "plan_epoch_s": round(plan_s, 2),
        "targets_gathered_per_s": round(targets / (time.monotonic() - started)),
    }


def main(millions: list[float]) -> None:
    rows = []
    for million in millions:
        with tempfile.TemporaryDirectory() as folder:
            write_log(Path(folder) / "log", int(million * 1_000_000))
            child = [sys.executable, "-m", "benchmarks.dataset", "--measure", str(Path(folder) / "log")]
            done = subprocess.run(child, check=True, capture_output=True, text=True)
        rows.append(json.loads(done.stdout.splitlines()[-1]))
        print("  ".join(f"{name} {value:,}" for name, value in rows[-1].items()), flush=True)
    print(json.dumps({"benchmark": "dataset", "rows": rows}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("millions", nargs="*", type=float, help="sizes of the log, in millions of events")
    parser.add_argument("--measure", type=Path, help="measure this log, in this process")
    arguments = parser.parse_args()
    if arguments.measure:
        print(json.dumps(measure(arguments.measure)))
    else:
        main(arguments.millions or [1.0, 5.0, 20.0])
