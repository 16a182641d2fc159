"""One worker of a fit, for `torchrun`: fits the planted data and, if it leads, saves the model in the folder named."""

import sys
from dataclasses import replace
from pathlib import Path

from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.training.data.by_time import build_dataset
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.workers import Workers
from tests.fakes.event_log import columns_of
from tests.fakes.planted import planted_events
from tests.unit.training.conftest import OPTIONS


def main(folder: Path) -> None:
    dataset = build_dataset(
        columns_of(planted_events(100, 30)),
        DEFAULT_EVENT_TYPES,
        holdout_fraction=0.1,
        validation_fraction=0.1,
        min_item_events=1,
    )
    model = SequenceEncoder(replace(OPTIONS, num_negatives=20, max_epochs=4))
    told = 0

    def on_epoch(_: object) -> None:
        nonlocal told
        told += 1

    model.fit(dataset, on_epoch)
    if Workers.of_environment().leads:
        model.save(folder)
    elif told:
        raise AssertionError("only the leader reports")


if __name__ == "__main__":
    main(Path(sys.argv[1]))
