"""The training report: what a run came to, for people, in one file beside its bundle."""

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import numpy as np

from services.domain.ids import ItemId
from services.training.data.dataset import Dataset
from services.training.evaluation.holdout import Measurement
from services.training.evaluation.metrics import Ints
from services.training.evaluation.ranking import NOTHING
from services.training.model import EpochReport, TrainableModel
from services.training.report.examples import examples
from services.training.report.page import (
    coverage_part,
    epoch_plots,
    examples_part,
    figures_table,
    page,
    slices_part,
)

REPORT: Final = "report.html"
"""What the file is called."""
CURVE_POINTS: Final = 100  # of the coverage curve; larger: a larger file; smaller: corners


@dataclass(frozen=True)
class Run:
    """What there is to tell of."""

    title: str
    model: TrainableModel
    dataset: Dataset
    measurement: Measurement
    max_history: int
    epochs: Sequence[EpochReport] = ()
    facts: Mapping[str, str] = field(default_factory=dict)
    """What stands at the top, such as the data version and the seed."""
    titles: Mapping[ItemId, str] = field(default_factory=dict)
    """What people call items; where it lacks one, its id is shown."""


def write_report(path: Path, run: Run) -> None:
    """Writes the file, whole or not at all; scores some users once more."""
    dataset, measurement = run.dataset, run.measurement
    shares = exposure_curve(measurement.found.lists[:, :10], dataset.num_items)
    shown = examples(run.model, dataset, measurement.found, run.max_history, run.titles)
    facts = {"kind": run.model.kind, "items": f"{dataset.num_items:,}", **run.facts}
    text = page(
        run.title,
        facts,
        [
            ("Figures on the holdout", figures_table(measurement.figures)),
            ("Training", epoch_plots(run.epochs)),
            ("Slices", slices_part(measurement.slices)),
            ("Coverage", coverage_part(shares, measurement.figures.get("coverage_at_10", 0.0))),
            ("Users, and what they are shown", examples_part(shown)),
        ],
    )
    _write_whole(path, text)


def exposure_curve(lists: Ints, num_items: int) -> list[float]:
    """The cumulative share of places in lists, from the items least shown to those most, at even steps from 0 to 1."""
    places = np.sort(np.bincount(lists[lists != NOTHING], minlength=num_items))
    shares = np.concatenate(([0.0], np.cumsum(places) / max(1, places.sum())))
    at = np.linspace(0, num_items, min(CURVE_POINTS, num_items) + 1).astype(np.int64)
    return [float(share) for share in shares[at]]


def _write_whole(path: Path, text: str) -> None:
    draft = path.with_name(f".{path.name}.draft")
    with draft.open("w", encoding="utf-8") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
