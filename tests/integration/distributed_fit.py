"""One worker of a fit, for `torchrun`: fits the planted data and, if it leads, saves the model in the folder named.

`distributed_fit.py FOLDER [JSON]`: the JSON has fields of EncoderOptions, and `die_after`: the epoch after which the
leader dies, which leaves a checkpoint in the folder for the next one to go on from.
"""

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.training.data.by_time import build_dataset
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.model import EpochReport
from services.training.workers import Workers
from tests.fakes.event_log import columns_of
from tests.fakes.planted import planted_events
from tests.unit.training.conftest import OPTIONS


def main(folder: Path, overrides: dict[str, Any]) -> None:
    dataset = build_dataset(
        columns_of(planted_events(100, 30)),
        DEFAULT_EVENT_TYPES,
        holdout_fraction=0.1,
        validation_fraction=0.1,
        min_item_events=1,
    )
    die_after = overrides.pop("die_after", None)
    model = SequenceEncoder(replace(OPTIONS, **{"num_negatives": 20, "max_epochs": 4, **overrides}))
    model.resume(folder / "run.safetensors", "this run")
    told: list[int] = []

    def on_epoch(report: EpochReport) -> None:
        told.append(report.epoch)
        if report.epoch == die_after:
            raise SystemExit(f"died after epoch {die_after}")

    model.fit(dataset, on_epoch)
    if Workers.of_environment().leads:
        model.save(folder)
        sys.stdout.write(json.dumps(told))
    elif told:
        raise AssertionError("only the leader reports")


if __name__ == "__main__":
    main(Path(sys.argv[1]), json.loads(sys.argv[2]) if len(sys.argv) > 2 else {})
