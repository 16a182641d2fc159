"""How well and how fast the encoder trains on MovieLens-100K, without Kafka or a log.

`OMP_WAIT_POLICY=PASSIVE .venv/bin/python -m benchmarks.train_cpu [--holdout] [seed=1 num_blocks=2 ...]`: the last
arguments override fields of `settings.TrainSettings`; event types are those of the settings (NIGHTJAR_EVENT_TYPES).
Settings are chosen on the validation part; the holdout is looked at only with --holdout. Prints a line an epoch, and a
JSON line at the end. Fetches the data on its first run.
"""

import argparse
import json
import resource
import time
from collections.abc import Sequence
from datetime import UTC, datetime

from services.cli.datasets import movielens
from services.settings import TrainSettings, load
from services.training.configured import configured_model
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.evaluation.holdout import measure
from services.training.model import EpochReport
from tests.fakes.event_log import columns_of


def main(overrides: Sequence[str], *, holdout: bool) -> None:
    train = TrainSettings.model_validate(dict(override.split("=", 1) for override in overrides))
    dataset = _dataset(train)
    model, reports = configured_model(train), list[EpochReport]()

    def on_epoch(report: EpochReport) -> None:
        reports.append(report)
        print(f"epoch {report.epoch}  loss {report.loss:.4f}  validation NDCG@10 {report.valid_ndcg_at_10:.4f}")

    started, cpu_before = time.monotonic(), _cpu_s()
    model.fit(dataset, on_epoch)
    figures = {
        "overrides": list(overrides),
        "best_valid_ndcg_at_10": max((report.valid_ndcg_at_10 for report in reports), default=float("nan")),
        "fit_wall_s": time.monotonic() - started,
        "fit_cpu_s": _cpu_s() - cpu_before,
        **(measure(model, dataset, train.max_history, train.seed) if holdout else {}),
    }
    print(json.dumps({name: round(value, 4) if isinstance(value, float) else value for name, value in figures.items()}))


def _dataset(train: TrainSettings) -> Dataset:
    settings = load()
    events = movielens.load(settings.cache_folder, datetime.now(UTC)).events
    return build_dataset(
        columns_of(events),
        settings.declared_event_types(),
        holdout_fraction=train.holdout_fraction,
        validation_fraction=train.validation_fraction,
        min_item_events=train.min_item_events,
    )


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("overrides", nargs="*", help="field=value of TrainSettings")
    parser.add_argument("--holdout", action="store_true", help="also measure on the holdout, as the gate does")
    arguments = parser.parse_args()
    main(arguments.overrides, holdout=arguments.holdout)
