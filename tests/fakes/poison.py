"""What makes a bad model of a good log; each is called in the process that trains."""

import os
from dataclasses import replace

import numpy as np

from services.adapters.delta_log import DeltaEventLog
from services.domain.event_columns import EventColumns


def shuffled_items() -> None:
    """Training sees every event with some other event's item."""
    read = DeltaEventLog.read

    def poisoned(log: DeltaEventLog, version: int, until_us: int | None = None) -> EventColumns:
        events = read(log, version, until_us)
        codes = np.random.default_rng(1).permutation(events.items.codes)
        return replace(events, items=replace(events.items, codes=codes))

    DeltaEventLog.read = poisoned  # type: ignore[method-assign, assignment]


def popularity_in_disguise() -> None:
    """Training makes the simplest model there is."""
    os.environ["NIGHTJAR_TRAIN__KIND"] = "popularity"
