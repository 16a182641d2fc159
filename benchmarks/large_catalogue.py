"""What a step of the encoder costs as the catalogue grows, and how much memory a fit takes.

`python -m benchmarks.large_catalogue [items ...] [--shard-items yes|no] [--workers N]`: catalogues of so many items
(default 10,000, 100,000, 1,000,000), each with two epochs of generated events (4,096 a step, 1,024 negatives, dimension
128, five features an item), fitted in processes of their own so that the memory is that of nothing else. With several
workers, under torchrun and a thread each, the figures are the leader's, and `assistant_mib` the memory of the others.
`step_cpu_ms` is of all threads of one process, the end of the epoch counted in: what a busy machine does not change.
Prints a table and a JSON line.
"""

import argparse
import json
import subprocess
import sys
import time
from collections.abc import Sequence
from typing import Any, Final

import numpy as np

NUM_STEPS: Final = 15  # an epoch
BATCH_EVENTS: Final = 4_096
HISTORY: Final = 64  # events a user; divides BATCH_EVENTS, so that no place pads
NUM_FEATURES: Final = 5_000
FEATURES_AN_ITEM: Final = 5


def measure(num_items: int, shard_items: bool | None) -> dict[str, Any]:
    """In this process: milliseconds a step in the second epoch, and the most memory held above what came before."""
    # torch is loaded before memory is looked at: a training process has it anyway.
    import torch

    from services.training.data.content import ItemContent
    from services.training.data.dataset import TrainingSequences
    from services.training.evaluation.protocol_figures import peak_rss_mib
    from services.training.kinds.sequence.fitting import Fitting
    from services.training.kinds.sequence.network import Dropouts, EncoderNetwork, NetworkShape
    from services.training.kinds.sequence.options import EncoderOptions
    from services.training.model import EpochReport
    from services.training.workers import Workers

    random, num_events = np.random.default_rng(1), BATCH_EVENTS * NUM_STEPS
    positions = np.arange(num_events, dtype=np.int32)
    asked = positions[positions % HISTORY != HISTORY - 1]
    sequences = TrainingSequences(
        items=(1 + num_items * random.random(num_events) ** 3.3).astype(np.int32),
        types=np.ones(num_events, np.int8),
        times_us=np.arange(num_events) * 60_000_000,
        weights=np.ones(num_events, np.float32),
        starts=np.arange(0, num_events + 1, HISTORY),
        asked=asked,
        wanted=asked + 1,
    )
    content = ItemContent(
        tuple(map(str, range(NUM_FEATURES))),
        random.integers(1, NUM_FEATURES + 1, num_items * FEATURES_AN_ITEM),
        np.arange(0, num_items * FEATURES_AN_ITEM + 1, FEATURES_AN_ITEM),
        np.empty((num_items, 0), np.float32),
    )
    options = EncoderOptions(
        dim=128, num_blocks=1, num_heads=2, dropout=0.2, input_dropout=0.5, temperature=0.08, max_history=HISTORY,
        batch_events=BATCH_EVENTS, precision="auto", num_negatives=1_024, half_life_days=None, learning_rate=2e-3,
        weight_decay=0.01, label_smoothing=0.0, max_epochs=2, patience=5, incremental_epochs=2, max_seconds=3_600.0,
        seed=1, shard_items=shard_items,
    )  # fmt: skip
    torch.manual_seed(1)
    workers, before_mib = Workers.of_environment(), peak_rss_mib()
    shape = NetworkShape(num_items, 1, NUM_FEATURES, options.dim, 1, options.num_heads, HISTORY)
    network = EncoderNetwork(shape, Dropouts(0.5, 0.2), content)
    reports: list[EpochReport] = []
    cpu_s: list[float] = []

    def on_epoch(report: EpochReport) -> None:
        reports.append(report)
        cpu_s.append(time.process_time())

    Fitting(network, sequences, options, BATCH_EVENTS, lambda: None).run(on_epoch)
    peak_mib = round(peak_rss_mib() - before_mib)
    if not workers.leads:
        return {"assistant_mib": peak_mib}
    fit_s = reports[1].elapsed_s - reports[0].elapsed_s
    step_s = num_events / reports[1].examples_per_s / NUM_STEPS
    return {
        "items": num_items,
        "step_ms": round(1_000 * step_s),
        "step_cpu_ms": round(1_000 * (cpu_s[1] - cpu_s[0]) / NUM_STEPS),
        "end_of_epoch_ms": round(1_000 * (fit_s - step_s * NUM_STEPS)),
        "peak_mib": peak_mib,
        "one_table_mib": round(num_items * options.dim * 4 / 2**20),
        "loss": round(reports[1].loss, 5),
    }


def main(catalogues: Sequence[int], num_workers: int, shard_items: str) -> None:
    launcher = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={num_workers}"]
    rows = []
    for num_items in catalogues:
        measuring = ["-m", "benchmarks.large_catalogue", "--measure", str(num_items), "--shard-items", shard_items]
        child = [sys.executable, *(launcher if num_workers > 1 else []), *measuring]
        done = subprocess.run(child, check=True, stdout=subprocess.PIPE, text=True)
        row: dict[str, Any] = {}
        for line in done.stdout.splitlines():
            row.update(json.loads(line))
        rows.append(row)
        print("  ".join(f"{name} {value:,}" for name, value in row.items()), flush=True)
    print(json.dumps({"benchmark": "large_catalogue", "workers": num_workers, "shard": shard_items, "rows": rows}))


SHARD_ITEMS: Final = {"auto": None, "yes": True, "no": False}

if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("items", nargs="*", type=int, help="sizes of the catalogue")
    parser.add_argument("--shard-items", choices=list(SHARD_ITEMS), default="auto", help="as train.shard_items")
    parser.add_argument("--workers", type=int, default=1, help="processes that fit together")
    parser.add_argument("--measure", type=int, help="measure one of this size, in this process")
    arguments = parser.parse_args()
    if arguments.measure:
        sys.stdout.write(json.dumps(measure(arguments.measure, SHARD_ITEMS[arguments.shard_items])) + "\n")
    else:
        main(arguments.items or [10_000, 100_000, 1_000_000], arguments.workers, arguments.shard_items)
