"""Tonight's encoder starts from an earlier one: what both know is kept, what is new is usable, what is gone is gone."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from services.domain.errors import BundleBroken, UnfitToStartFrom
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import ItemId
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.evaluation.holdout import measure
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.network import EncoderNetwork
from services.training.kinds.sequence.options import EncoderOptions
from services.training.kinds.sequence.sizing import sizes_for
from services.training.kinds.sequence.warm_start import since, transplant
from services.training.model import EarlierModel, EpochReport
from tests.fakes.event_log import columns_of
from tests.fakes.planted import planted_events


@pytest.fixture
def earlier(tmp_path: Path, planted: Dataset, fitted: SequenceEncoder) -> EarlierModel:
    fitted.save(tmp_path)
    return EarlierModel(tmp_path, planted.vocabulary, planted.bounds_us["cut_us"])


def later() -> Dataset:
    """The planted stream goes on: the same users, a third more events, and item 0 of each cluster has a new name."""
    events = [
        each._replace(
            item_id=ItemId(each.item_id.removesuffix("-0") + "-new")
            if number > 5_000 and each.item_id.endswith("-0")
            else each.item_id
        )
        for number, each in enumerate(planted_events(150, 53))
    ]
    return build_dataset(
        columns_of(events), DEFAULT_EVENT_TYPES, holdout_fraction=0.1, validation_fraction=0.1, min_item_events=1
    )


def test_a_few_epochs_on_what_is_new_do_as_well_as_all_epochs_on_everything(
    earlier: EarlierModel, options: EncoderOptions
) -> None:
    dataset = later()
    warm, cold, told = SequenceEncoder(options), SequenceEncoder(options), list[EpochReport]()
    warm.start_from(earlier)
    warm.fit(dataset, told.append)
    cold.fit(dataset, lambda _: None)
    figures = [measure(model, dataset, 12, 1)["ndcg_at_10"] for model in (warm, cold)]
    assert [report.epoch for report in told] == list(range(1, options.incremental_epochs + 1))
    assert figures[0] > figures[1] - 0.05


def test_what_both_know_is_where_it_was_and_the_rest_is_placed_by_its_company(
    earlier: EarlierModel, fitted: SequenceEncoder, options: EncoderOptions, planted: Dataset
) -> None:
    """Without a step: an item's vector is that of the earlier model, whatever its row is now."""
    dataset = later()
    model = SequenceEncoder(options)
    network = model._first_network(dataset, sizes_for(options, dataset.sequences, dataset.num_items))
    assert isinstance(network, EncoderNetwork)
    tensors = fitted.network.state_dict()
    labels = planted.vocabulary.event_type_labels
    transplant(network, dataset, tensors, planted.vocabulary.item_ids, labels, (), same_texts=True)
    now, before = network.item_table().detach().numpy(), fitted.item_vectors()
    rows, old_rows = dataset.vocabulary.item_rows, planted.vocabulary.item_rows
    kept = rows.keys() & old_rows.keys()
    assert all(np.allclose(now[rows[item]], before[old_rows[item] - 1], atol=1e-6) for item in kept)
    new = [item for item in rows if item not in old_rows]
    assert len(new) > 5
    for item in new:
        cluster = item.split("-")[1]
        near = [now[rows[other]] for other in kept if other.split("-")[1] == cluster]
        far = [now[rows[other]] for other in kept if other.split("-")[1] != cluster]
        assert np.mean(near @ now[rows[item]]) > np.mean(far @ now[rows[item]]) + 0.1


def test_only_what_is_new_and_as_much_that_is_old_is_asked_for(planted: Dataset) -> None:
    sequences = planted.sequences
    start_us = int(np.quantile(sequences.times_us, 0.8))
    chosen = since(sequences, start_us, np.random.default_rng(0))
    is_new = chosen.times_us[chosen.wanted] >= start_us
    assert np.count_nonzero(is_new) == np.count_nonzero(sequences.times_us[sequences.wanted] >= start_us)
    assert np.count_nonzero(~is_new) == np.count_nonzero(is_new)
    assert (np.diff(chosen.asked) >= 0).all()


def test_a_model_of_another_shape_is_refused(earlier: EarlierModel, options: EncoderOptions) -> None:
    with pytest.raises(UnfitToStartFrom, match="dim 16, not 32"):
        SequenceEncoder(replace(options, dim=32)).start_from(earlier)


def test_a_broken_file_is_named(earlier: EarlierModel, options: EncoderOptions) -> None:
    (earlier.folder / "state.safetensors").write_bytes(b"{}")
    with pytest.raises(BundleBroken, match="cannot be read"):
        SequenceEncoder(options).start_from(earlier)


def test_where_nothing_happened_since_it_is_the_earlier_model(
    earlier: EarlierModel, planted: Dataset, fitted: SequenceEncoder, options: EncoderOptions
) -> None:
    """Its validation part, which the earlier one learned last, is not learned a second time."""
    told: list[EpochReport] = []
    model = SequenceEncoder(options)
    model.start_from(earlier)
    model.fit(planted, told.append)
    assert told == []
    assert np.allclose(model.item_vectors(), fitted.item_vectors(), atol=1e-6)
