"""Our iALS on shared events; a child of `benchmarks.beside_implicit`."""

import argparse
import json
import time
from pathlib import Path

import numpy as np
import torch

from benchmarks.beside.dataset import codes_of, dataset_of
from benchmarks.beside.events import Events
from services.settings import TrainSettings
from services.training.configured import configured_model
from services.training.evaluation.protocol_figures import peak_rss_mib

EVERYTHING = 1_000_000  # events of a history


def main(options: argparse.Namespace) -> None:
    before_mib, events = peak_rss_mib(), Events.load(options.events)
    torch.set_num_threads(options.threads)
    dataset, fits = dataset_of(events), []
    for num_sweeps in options.sweeps:
        model = configured_model(
            TrainSettings(
                kind="ials",
                options={
                    "dim": options.dim,
                    "unobserved_weight": options.unobserved,
                    # Theirs is over the weight of what is not there, and the same for all.
                    "regularisation": options.regularisation * options.unobserved,
                    "frequency_exponent": 0.0,
                    "num_epochs": num_sweeps,
                },
            )
        )
        started, cpu_started = time.monotonic(), time.process_time()
        model.fit(dataset, lambda _: None)
        fit_s, cpu_s = time.monotonic() - started, time.process_time() - cpu_started
        fits.append({"sweeps": num_sweeps, "fit_s": round(fit_s, 3), "cpu_s": round(cpu_s, 3)})
        if options.keep:
            items = np.zeros((events.num_items, options.dim), np.float32)
            items[codes_of(dataset)] = model.item_vectors()
            users = np.zeros((events.num_users, options.dim), np.float32)
            latest_us = int(dataset.sequences.times_us.max()) + 1
            rows = range(len(dataset.sequences.starts) - 1)
            histories = [dataset.histories.as_of(row, latest_us, EVERYTHING) for row in rows]
            users[np.unique(events.users)] = model.encode_users(histories)
            np.savez(f"{options.keep}-{num_sweeps}.npz", users=users, items=items)
    print(json.dumps({"fits": fits, "rss_before_mib": round(before_mib), "torch": torch.__version__}))


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=Path)
    parser.add_argument("--keep", help="write the vectors to files of this name")
    parser.add_argument("--dim", type=int, required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--unobserved", type=float, required=True)
    parser.add_argument("--regularisation", type=float, required=True)
    parser.add_argument("--sweeps", type=lambda text: [int(each) for each in text.split(",")], required=True)
    main(parser.parse_args())
