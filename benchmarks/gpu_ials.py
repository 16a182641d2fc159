"""Seconds that a sweep of iALS takes at dimension 256, on this machine's GPU and, at a smaller size, on its CPU.

`python -m benchmarks.gpu_ials [--events 20000000] [--cpu-events 200000] [--sweeps 3] [--dim 256]`: makes events on the
spot (138 thousand users, 27 thousand items) and fits, then does so at the smaller size in a process that sees no GPU.
A sweep solves for all users and for all items; the first one is left out, in which the device warms up. Prints device,
versions, command, memory and a JSON line. `--cpu-events 0` leaves the CPU out; on a machine without a GPU
`--events 200000` shows that it runs. The figures on a GPU are still to be measured: it has not been run on one.
"""

import argparse
import json
import os
import statistics
import subprocess
import sys
import time
from typing import Any

from benchmarks.gpu_card import conditions, device, peaks, synthetic
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.training.data.by_time import build_dataset
from services.training.kinds.ials import Ials, IalsOptions
from services.training.model import EpochReport


def measure(num_events: int, num_sweeps: int, dim: int) -> dict[str, Any]:
    started = time.monotonic()
    dataset = build_dataset(
        synthetic(num_events), DEFAULT_EVENT_TYPES, holdout_fraction=0.02, validation_fraction=0.01, min_item_events=1
    )
    built_s, reports, sweeps_s = time.monotonic() - started, list[EpochReport](), list[float]()

    def on_epoch(report: EpochReport) -> None:
        sweeps_s.append(report.elapsed_s - (reports[-1].elapsed_s if reports else 0.0))
        reports.append(report)
        print(f"sweep {report.epoch}  {sweeps_s[-1]:.2f} s  loss {report.loss:.5f}", flush=True)

    Ials(IalsOptions(dim=dim, num_epochs=num_sweeps)).fit(dataset, on_epoch)
    return {
        **conditions(),
        **peaks(),
        "events": num_events,
        "cells": len(dataset.counted.latest().items),
        "dim": dim,
        "dataset_s": round(built_s, 1),
        "sweep_s": round(statistics.median(sweeps_s[1:] or sweeps_s), 3),
        "first_sweep_s": round(sweeps_s[0], 3),
    }


def on_cpu(num_events: int, num_sweeps: int, dim: int) -> dict[str, Any]:
    """The same in a process that sees no GPU."""
    options = {"--events": num_events, "--cpu-events": 0, "--sweeps": num_sweeps, "--dim": dim}
    words = [str(word) for option in options.items() for word in option]
    done = subprocess.run(
        [sys.executable, "-m", "benchmarks.gpu_ials", *words],
        env={**os.environ, "CUDA_VISIBLE_DEVICES": ""},
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    row: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])["rows"][0]
    return row


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--cpu-events", type=int, default=200_000, help="0: not on the CPU")
    parser.add_argument("--sweeps", type=int, default=3)
    parser.add_argument("--dim", type=int, default=256)
    arguments = parser.parse_args()
    rows = [measure(arguments.events, arguments.sweeps, arguments.dim)]
    if arguments.cpu_events and device().type == "cuda":
        rows.append(on_cpu(arguments.cpu_events, arguments.sweeps, arguments.dim))
    for row in rows:
        print(f"{row['device']}: {row['sweep_s']} s a sweep, {row['events']:,} events, dimension {row['dim']}")
    print(json.dumps({"benchmark": "gpu_ials", "rows": rows}))
