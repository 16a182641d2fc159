"""What an item's text means is part of its vector: an item that nobody chose stands where its text says."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import numpy.typing as npt
import pytest
import torch

from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import ItemId
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.data.texts import vectors_of
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import EarlierModel
from tests.fakes.event_log import columns_of
from tests.fakes.planted import CLUSTER_SIZE, NUM_CLUSTERS, planted_events

NEW = [ItemId(f"new-{cluster}") for cluster in range(NUM_CLUSTERS)]
TEXTS = {
    ItemId(f"item-{cluster}-{place}"): f"about {cluster}"
    for cluster in range(NUM_CLUSTERS)
    for place in range(CLUSTER_SIZE)
} | {item: f"about {cluster}" for cluster, item in enumerate(NEW)}


class Topics:
    """A direction for each cluster."""

    def __init__(self, name: str = "topics") -> None:
        self.name = name

    def encode(self, texts: Sequence[str]) -> npt.NDArray[np.float32]:
        return np.eye(NUM_CLUSTERS, dtype=np.float32)[[int(text.split()[1]) for text in texts]]


def dataset(encoder: Topics) -> Dataset:
    """Words that only one item has are no features: what is known of the new items is their texts."""
    return build_dataset(
        columns_of(planted_events()), DEFAULT_EVENT_TYPES,
        holdout_fraction=0.1, validation_fraction=0.1, min_item_events=1,
        features_of={item: [f"only {item}"] for item in NEW}, with_new_items=True,
        text_vectors=vectors_of(TEXTS, encoder),
    )  # fmt: skip


@pytest.fixture(scope="module")
def read() -> Dataset:
    return dataset(Topics())


@pytest.fixture(scope="module")
def fitted_to_texts(read: Dataset) -> SequenceEncoder:
    from tests.unit.training.conftest import OPTIONS

    model = SequenceEncoder(OPTIONS)
    model.fit(read, lambda _: None)
    return model


def share_placed(model: SequenceEncoder, dataset: Dataset) -> float:
    """Of the new items: how many are nearest to an item of their own cluster."""
    rows, vectors = dataset.vocabulary.item_rows, model.item_vectors()
    known = [item for item in rows if item not in NEW]
    of_known = vectors[[rows[item] - 1 for item in known]]
    nearest = [known[int(np.argmax(of_known @ vectors[rows[item] - 1]))] for item in NEW]
    return float(np.mean([near.split("-")[1] == new.split("-")[1] for near, new in zip(nearest, NEW, strict=True)]))


def test_an_item_that_nobody_chose_stands_where_its_text_says(read: Dataset, fitted_to_texts: SequenceEncoder) -> None:
    assert read.content.num_features == 0
    assert share_placed(fitted_to_texts, read) >= 0.9


def test_a_fitted_encoder_keeps_its_texts(tmp_path: Path, read: Dataset, fitted_to_texts: SequenceEncoder) -> None:
    fitted_to_texts.save(tmp_path)
    loaded = SequenceEncoder(fitted_to_texts.options)
    loaded.load(tmp_path)
    assert np.array_equal(loaded.item_vectors(), fitted_to_texts.item_vectors())


@pytest.mark.parametrize(("name", "is_kept"), [("topics", True), ("others", False)])
def test_the_next_night_knows_what_texts_mean_unless_another_encoder_reads_them(
    tmp_path: Path,
    read: Dataset,
    fitted_to_texts: SequenceEncoder,
    options: EncoderOptions,
    name: str,
    *,
    is_kept: bool,
) -> None:
    """Without a step."""
    fitted_to_texts.save(tmp_path)
    tonight = replace(dataset(Topics(name)), with_validation=None)
    model = SequenceEncoder(replace(options, seed=4, incremental_epochs=0))
    model.start_from(EarlierModel(tmp_path, read.vocabulary, tonight.bounds_us["fit_end_us"]))
    model.fit(tonight, lambda _: None)
    before, now = (each.network.item_table.of_text for each in (fitted_to_texts, model))
    assert before is not None
    assert now is not None
    assert torch.equal(before.weight, now.weight) == is_kept


def test_items_without_texts_have_no_vectors_of_them() -> None:
    vectors = vectors_of({ItemId("a"): "about 1", ItemId("b"): "about 1"}, Topics())
    assert vectors is not None
    assert vectors.of([ItemId("z"), ItemId("b")])[0].tolist() == [0.0] * NUM_CLUSTERS
    assert vectors.of([ItemId("z")]).shape == (1, 0)
    assert vectors_of({}, None) is None
