"""What is left to the data: options that depend on how much there is, by rules that know no data set.

Chosen on the validation parts of a sparse set (13 events an item, histories of 7) and a dense one (290 and 165), see
docs/experiments.md, 2026-11-24.
"""

import math
from dataclasses import dataclass, fields, replace
from typing import Final

from services.training.data.dataset import TrainingSequences
from services.training.kinds.sequence.options import EncoderOptions

SPARSE_EVENTS: Final = 10.0  # an item; from here on down, inputs are dropped most
MOST_DROPPED: Final = 0.5  # larger: little is left to learn from; smaller: a sparse catalogue is learned by heart
LEAST_DROPPED: Final = 0.2
DROPPED_LESS: Final = 0.17  # for each tenfold of events an item
LONG_HISTORY: Final = 50.0  # events a user, on average; above it a second block pays
STEPS: Final = 120  # an epoch. Larger: slower and noisier; smaller: too few steps to learn in
BATCH_EVENTS: Final = (1_024, 65_536)


@dataclass(frozen=True, slots=True)
class Sizes:
    num_blocks: int
    input_dropout: float
    batch_events: int


def sizes_for(options: EncoderOptions, sequences: TrainingSequences, num_items: int) -> Sizes:
    """What the options say, and where they say nothing what the data asks for."""
    num_events, num_users = len(sequences.items), max(1, len(sequences.starts) - 1)
    dropped = MOST_DROPPED - DROPPED_LESS * math.log10(max(1.0, num_events / num_items / SPARSE_EVENTS))
    least, most = BATCH_EVENTS
    by_data = Sizes(
        num_blocks=2 if num_events / num_users >= LONG_HISTORY else 1,
        input_dropout=round(max(LEAST_DROPPED, dropped), 2),
        batch_events=min(max(num_events // STEPS, least), most),
    )
    said = {each.name: getattr(options, each.name) for each in fields(Sizes)}
    return replace(by_data, **{name: value for name, value in said.items() if value is not None})
