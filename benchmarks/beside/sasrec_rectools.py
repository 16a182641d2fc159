"""RecTools' SASRec on shared events; a child of `benchmarks.beside_sasrec`, in the environment of beside.lock.

Its trainer is the one it makes by default, with a clock in it.
"""

import argparse
import json
import logging
import resource
import statistics
import time
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd  # type: ignore[import-untyped]
import torch
from pytorch_lightning import Callback, Trainer  # type: ignore[import-not-found]
from rectools.dataset import Dataset  # type: ignore[import-not-found]
from rectools.models import SASRecModel  # type: ignore[import-not-found]

from benchmarks.beside.events import Events


class EpochClock(Callback):  # type: ignore[misc]
    def __init__(self) -> None:
        self.epochs_s: list[float] = []
        self.cpu_s: list[float] = []
        self.loss = float("nan")
        self._started = 0.0

    def on_train_epoch_start(self, *_: Any) -> None:
        self._started = time.monotonic()

    def on_train_epoch_end(self, trainer: Any, *_: Any) -> None:
        self.epochs_s.append(time.monotonic() - self._started)
        self.cpu_s.append(time.process_time())
        self.loss = float(trainer.callback_metrics["train_loss"])


def main(options: argparse.Namespace) -> None:
    before_mib, events = _peak_rss_mib(), Events.load(options.events)
    places = np.arange(len(events)) - events.starts[events.users]
    interactions = pd.DataFrame(
        {
            "user_id": events.users,
            "item_id": events.items,
            "weight": 1.0,
            "datetime": pd.Timestamp("2024-01-01") + pd.to_timedelta(places, unit="h"),
        }
    )
    dataset = Dataset.construct(interactions)
    model = SASRecModel(
        n_blocks=options.num_blocks,
        n_heads=options.num_heads,
        n_factors=options.dim,
        session_max_len=options.max_history,
        batch_size=options.batch_users,
        dropout_rate=0.2,
        loss="sampled_softmax" if options.num_negatives else "softmax",
        n_negatives=options.num_negatives or 1,
        get_trainer_func=lambda: Trainer(
            accelerator="cpu",
            max_epochs=options.epochs,
            min_epochs=options.epochs,
            enable_progress_bar=False,
            enable_model_summary=False,
            logger=False,
            enable_checkpointing=False,
            devices=1,
            precision=options.precision,
            callbacks=[EpochClock()],
        ),
    )
    started = time.monotonic()
    model.fit(dataset)
    fit_s = time.monotonic() - started
    # The model fits with a copy of its trainer.
    clock = next(each for each in model.fit_trainer.callbacks if isinstance(each, EpochClock))
    lengths = np.bincount(events.users)
    num_targets = int(np.minimum(lengths[lengths > 0] - 1, options.max_history).sum())
    print(
        json.dumps(
            {
                "examples_per_s": round(num_targets / statistics.median(clock.epochs_s[1:])),
                "examples_per_cpu_s": round(num_targets / statistics.median(np.diff(clock.cpu_s))),
                "epochs_s": [round(epoch_s, 2) for epoch_s in clock.epochs_s],
                "fit_s": round(fit_s, 2),
                "targets": num_targets,
                "parameters": sum(each.numel() for each in model.torch_model.parameters()),
                "loss": round(clock.loss, 3),
                "rss_before_mib": round(before_mib),
                "torch": torch.__version__,
                "threads": torch.get_num_threads(),
            }
        )
    )


def _peak_rss_mib() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


if __name__ == "__main__":
    warnings.filterwarnings("ignore")
    logging.getLogger("pytorch_lightning").setLevel(logging.ERROR)
    parser = argparse.ArgumentParser()
    parser.add_argument("events", type=Path)
    for name in ("epochs", "batch-users", "dim", "num-blocks", "num-heads", "max-history", "num-negatives"):
        parser.add_argument(f"--{name}", type=int, required=True)
    parser.add_argument("--precision", default="32-true")
    main(parser.parse_args())
