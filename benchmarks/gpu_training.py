"""How fast the sequence encoder fits on this machine's GPU, and how much of the card that is; on a CPU without one.

`python -m benchmarks.gpu_training [--events 20000000] [--epochs 2] [field=value ...]`: makes events on the spot (138
thousand users, 27 thousand items), fits, and prints the device, versions, events/s of the last epoch, and model FLOP
utilisation: the multiplications that the network needs, over what a large matrix product reaches on the same device in
the same number format. Nothing is read or written. Ends with a JSON line. Not yet run on a GPU.
"""

import argparse
import json
import platform
import time
from typing import Final

import numpy as np
import torch

from services.domain.event_columns import EventColumns, Words
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.settings import TrainSettings
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.evaluation.protocol_figures import peak_rss_mib
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.fitting import in_bfloat16
from services.training.model import EpochReport
from services.training.wiring import make_model

NUM_USERS: Final = 138_000
NUM_ITEMS: Final = 27_000
START_US: Final = 1_700_000_000_000_000
CEILING_SIZE: Final = 4_096
CEILING_S: Final = 2.0


def synthetic(num_events: int) -> EventColumns:
    """Users in random turns, popular items more often."""
    random = np.random.default_rng(1)
    users = (NUM_USERS * random.random(num_events) ** 1.5).astype(np.int32)
    items = (NUM_ITEMS * random.random(num_events) ** 3.3).astype(np.int32)
    return EventColumns(
        users=Words(users, tuple(f"user-{number}" for number in range(NUM_USERS))),
        items=Words(items, tuple(f"item-{number}" for number in range(NUM_ITEMS))),
        event_types=Words(np.zeros(num_events, np.int32), ("view",)),
        event_times_us=START_US + np.arange(num_events, dtype=np.int64) * 1_000_000,
        values=np.full(num_events, np.nan),
    )


def flops_per_event(model: SequenceEncoder, dataset: Dataset, num_negatives: int) -> float:
    """Of a forward and a backward pass, which costs twice the forward; attention by the mean window."""
    shape = model.network.shape
    dim, length = shape.dim, min(shape.max_history, len(dataset.sequences.items) / len(dataset.sequences.starts))
    block = 2 * (4 * dim * dim + 3 * dim * shape.hidden_dim) + 2 * 2 * length * dim / 2
    return 3 * (shape.num_blocks * block + 2 * dim * num_negatives)


def ceiling(device: torch.device, dtype: torch.dtype) -> float:
    """FLOP/s of a square matrix product of CEILING_SIZE."""
    size = CEILING_SIZE if device.type == "cuda" else CEILING_SIZE // 4
    one, other = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
    num, started = 0, time.monotonic()
    while time.monotonic() - started < CEILING_S:
        for _ in range(10):
            one @ other
        if device.type == "cuda":
            torch.cuda.synchronize()
        num += 10
    return num * 2 * size**3 / (time.monotonic() - started)


def main(num_events: int, num_epochs: int, overrides: dict[str, str]) -> None:
    train = TrainSettings.model_validate({"max_epochs": num_epochs, "max_history": 100, **overrides})
    started = time.monotonic()
    dataset = build_dataset(
        synthetic(num_events), DEFAULT_EVENT_TYPES, holdout_fraction=0.02, validation_fraction=0.01, min_item_events=1
    )
    built_s, reports = time.monotonic() - started, list[EpochReport]()

    def on_epoch(report: EpochReport) -> None:
        reports.append(report)
        print(f"epoch {report.epoch}  loss {report.loss:.4f}  {report.examples_per_s:,.0f} events/s", flush=True)

    model = make_model(train)
    assert isinstance(model, SequenceEncoder)  # noqa: S101 - the default kind
    started = time.monotonic()
    model.fit(dataset, on_epoch)
    fit_s, device = time.monotonic() - started, next(model.network.parameters()).device
    half = in_bfloat16(train.precision, device)
    per_event = flops_per_event(model, dataset, train.num_negatives)
    reached, possible = (
        per_event * reports[-1].examples_per_s,
        ceiling(device, torch.bfloat16 if half else torch.float32),
    )
    on_gpu = device.type == "cuda"
    figures = {
        "device": torch.cuda.get_device_name(device) if on_gpu else f"{platform.processor()} CPU",
        "torch": torch.__version__,
        "precision": "bfloat16" if half else "float32",
        "events": num_events,
        "dataset_s": round(built_s, 1),
        "fit_s": round(fit_s, 1),
        "events_per_s": round(reports[-1].examples_per_s),
        "mflop_per_event": round(per_event / 1e6, 2),
        "utilisation": round(reached / possible, 4),
        "ceiling_tflops": round(possible / 1e12, 3),
        "peak_rss_mib": round(peak_rss_mib()),
        "peak_gpu_mib": round(torch.cuda.max_memory_allocated() / 2**20) if on_gpu else None,
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="field=value of TrainSettings, such as dim=256")
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    main(arguments.events, arguments.epochs, dict(each.split("=", 1) for each in arguments.overrides))
