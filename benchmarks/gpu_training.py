"""How fast the sequence encoder fits on this machine's GPU, and how much of the card that is; on a CPU without one.

`python -m benchmarks.gpu_training [--events 20000000] [--epochs 2] [field=value ...]`: makes events on the spot (138
thousand users, 27 thousand items), fits, and prints the device, versions, events/s of the last epoch, and model FLOP
utilisation: the multiplications that the network needs, over what a large matrix product reaches on the same device in
the same number format. Nothing is read or written. Ends with a JSON line. The figures on a GPU are still to be
measured: it has not been run on one. From events to a bundle: `benchmarks.gpu_to_bundle`.
"""

import argparse
import json
import time

import torch

from benchmarks.gpu_card import ceiling, conditions, peaks, synthetic
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.settings import TrainSettings
from services.training.configured import configured_model
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.fitting import in_bfloat16
from services.training.model import EpochReport


def flops_per_event(model: SequenceEncoder, dataset: Dataset, num_negatives: int) -> float:
    """Of a forward and a backward pass, which costs twice the forward; attention by the mean window."""
    shape = model.network.shape
    dim, length = shape.dim, min(shape.max_history, len(dataset.sequences.items) / len(dataset.sequences.starts))
    block = 2 * (4 * dim * dim + 3 * dim * shape.hidden_dim) + 2 * 2 * length * dim / 2
    return 3 * (shape.num_blocks * block + 2 * dim * num_negatives)


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

    model = configured_model(train)
    assert isinstance(model, SequenceEncoder)  # noqa: S101 - the default kind
    started = time.monotonic()
    model.fit(dataset, on_epoch)
    fit_s, device = time.monotonic() - started, next(model.network.parameters()).device
    half = in_bfloat16(train.precision, device)
    per_event = flops_per_event(model, dataset, train.num_negatives)
    beside = {**conditions(), **peaks()}  # before the product below takes memory
    reached, possible = per_event * reports[-1].examples_per_s, ceiling(torch.bfloat16 if half else torch.float32)
    figures = {
        "benchmark": "gpu_training",
        **beside,
        "precision": "bfloat16" if half else "float32",
        "events": num_events,
        "dataset_s": round(built_s, 1),
        "fit_s": round(fit_s, 1),
        "events_per_s": round(reports[-1].examples_per_s),
        "mflop_per_event": round(per_event / 1e6, 2),
        "utilisation": round(reached / possible, 4),
        "ceiling_tflops": round(possible / 1e12, 3),
    }
    print(json.dumps(figures))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("overrides", nargs="*", help="field=value of TrainSettings, such as dim=256")
    parser.add_argument("--events", type=int, default=20_000_000)
    parser.add_argument("--epochs", type=int, default=2)
    arguments = parser.parse_args()
    main(arguments.events, arguments.epochs, dict(each.split("=", 1) for each in arguments.overrides))
