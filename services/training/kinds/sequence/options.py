"""What can be set of the sequence encoder; the meaning and bounds of each are those of `settings.TrainSettings`."""

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    dim: int
    num_blocks: int | None
    num_heads: int
    dropout: float
    input_dropout: float | None
    temperature: float
    max_history: int
    batch_events: int | None
    precision: Literal["auto", "float32", "bfloat16"]
    num_negatives: int
    half_life_days: float | None
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    max_epochs: int
    patience: int
    incremental_epochs: int
    max_seconds: float
    seed: int
    shard_items: bool | None = None
