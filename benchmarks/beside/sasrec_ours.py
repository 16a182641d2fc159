"""Our sequence encoder on shared events; a child of `benchmarks.beside_sasrec`."""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.beside.dataset import dataset_of
from benchmarks.beside.events import Events
from services.settings import TrainSettings
from services.training.configured import configured_model
from services.training.evaluation.protocol_figures import peak_rss_mib
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.model import EpochReport


def main(path: Path, num_epochs: int, batch_users: int, overrides: dict[str, str]) -> None:
    before_mib, events = peak_rss_mib(), Events.load(path)
    dataset = dataset_of(events)
    # As many events a step as the other side's batch of users has: what we pad is at most a tenth.
    batch_events = batch_users * len(events) // events.num_users
    settings = {"max_epochs": num_epochs, "patience": num_epochs, "batch_events": batch_events, **overrides}
    model, reports = configured_model(TrainSettings.model_validate(settings)), list[EpochReport]()
    cpu_s: list[float] = []

    def on_epoch(report: EpochReport) -> None:
        reports.append(report)
        cpu_s.append(time.process_time())

    assert isinstance(model, SequenceEncoder)  # noqa: S101 - the default kind
    started = time.monotonic()
    model.fit(dataset, on_epoch)
    fit_s = time.monotonic() - started
    num_targets = len(dataset.sequences.wanted)
    epochs_s = [len(dataset.sequences.items) / report.examples_per_s for report in reports]
    print(
        json.dumps(
            {
                "examples_per_s": round(num_targets / statistics.median(epochs_s[1:])),
                "examples_per_cpu_s": round(num_targets / statistics.median(np.diff(cpu_s))),
                "epochs_s": [round(epoch_s, 2) for epoch_s in epochs_s],
                "fit_s": round(fit_s, 2),
                "targets": num_targets,
                "parameters": sum(each.numel() for each in model.network.parameters()),
                "loss": round(reports[-1].loss, 3),
                "rss_before_mib": round(before_mib),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            }
        )
    )


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=Path)
    parser.add_argument("overrides", nargs="*", help="field=value of TrainSettings")
    parser.add_argument("--epochs", type=int, required=True)
    parser.add_argument("--batch-users", type=int, required=True)
    arguments = parser.parse_intermixed_args()
    main(
        arguments.events,
        arguments.epochs,
        arguments.batch_users,
        dict(each.split("=", 1) for each in arguments.overrides),
    )
