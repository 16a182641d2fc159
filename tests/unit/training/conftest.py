"""A small dataset with a planted structure, and a model fitted to it once for all tests that only look."""

import os
from collections.abc import Callable
from dataclasses import replace

import pytest

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")  # as the training process sets it: before torch is loaded, below

from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import TrainableModel
from tests.fakes.event_log import columns_of
from tests.fakes.planted import planted_events

OPTIONS = EncoderOptions(
    dim=16, num_blocks=1, num_heads=2, dropout=0.0, input_dropout=0.0, temperature=0.1, max_history=12,
    batch_events=384, precision="float32", num_negatives=0, half_life_days=None, learning_rate=2e-2, weight_decay=0.01,
    label_smoothing=0.0, max_epochs=5, patience=5, incremental_epochs=2, max_seconds=60.0, seed=3,
)  # fmt: skip


@pytest.fixture(scope="session")
def planted() -> Dataset:
    return build_dataset(
        columns_of(planted_events()),
        DEFAULT_EVENT_TYPES,
        holdout_fraction=0.1,
        validation_fraction=0.1,
        min_item_events=1,
    )


@pytest.fixture(scope="session")
def options() -> EncoderOptions:
    return OPTIONS


@pytest.fixture(scope="session")
def fitted(planted: Dataset) -> SequenceEncoder:
    model = SequenceEncoder(OPTIONS)
    model.fit(planted, lambda _: None)
    return model


@pytest.fixture
def quick(options: EncoderOptions) -> Callable[[], TrainableModel]:
    return lambda: SequenceEncoder(replace(options, max_epochs=2))
