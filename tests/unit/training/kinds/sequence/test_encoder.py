"""The encoder recovers what was planted, repeats itself from a seed, looks at no future, and fails loudly."""

import os
from dataclasses import replace

import numpy as np
import pytest
import torch

from services.domain.errors import NotEnoughData, TrainingFailed
from services.domain.event_types import DEFAULT_EVENT_TYPES, EventType, EventTypes, Role
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.evaluation.holdout import measure
from services.training.kinds.sequence.encoder import SequenceEncoder, num_cores
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import EpochReport, FitEnd, Floats, History
from tests.fakes.event_log import columns_of


def history_of(*items: int, types: tuple[int, ...] = ()) -> History:
    """Of views that came at once, unless said otherwise."""
    rows = np.array(items, np.int64), np.array(types or [1] * len(items), np.int64)
    return History(*rows, np.zeros(len(items), np.int64))


def test_it_recovers_a_planted_chain_that_popularity_cannot_see(planted: Dataset, fitted: SequenceEncoder) -> None:
    """The next item follows from the last one nine times in ten: a perfect model has HR@10 above 0.9."""
    figures = measure(fitted, planted, max_history=12, seed=1)
    assert figures["hr_at_10"] > 0.85
    assert figures["ndcg_at_10"] > 0.8
    assert figures["popularity_ndcg_at_10"] < 0.2
    assert figures["ndcg_gain_at_10_low"] > 0.5
    assert figures["num_bad_vectors"] == 0


def test_the_same_seed_gives_the_same_numbers_and_another_seed_others(
    planted: Dataset, fitted: SequenceEncoder, options: EncoderOptions
) -> None:
    again, other = SequenceEncoder(options), SequenceEncoder(replace(options, seed=4))
    again.fit(planted, lambda _: None)
    other.fit(planted, lambda _: None)
    assert np.array_equal(again.item_vectors(), fitted.item_vectors())
    assert not np.array_equal(other.item_vectors(), fitted.item_vectors())


def test_a_position_knows_nothing_of_later_ones_nor_of_the_padding(fitted: SequenceEncoder) -> None:
    """Changing or appending events after a position leaves its vector as it was."""
    types = torch.ones(1, 6, dtype=torch.int64)
    first = torch.tensor([[5, 9, 2, 7, 1, 3]])
    second = torch.tensor([[5, 9, 2, 11, 0, 0]])
    with torch.inference_mode():
        gaps = torch.zeros_like(types)
        table = fitted.network.item_table()
        one, two = fitted.network(table, first, types, gaps), fitted.network(table, second, types, gaps)
    assert torch.allclose(one[:, :3], two[:, :3], atol=1e-6)
    assert not torch.allclose(one[:, 3], two[:, 3], atol=1e-3)


def test_a_batch_of_mixed_lengths_scores_as_each_history_alone(fitted: SequenceEncoder) -> None:
    histories = [history_of(4), history_of(1, 2, 3, 4, 5, types=(1, 1, 2, 1, 1)), history_of(7, 7)]
    together = fitted.score(histories)
    alone = np.concatenate([fitted.score([history]) for history in histories])
    assert np.allclose(together, alone, atol=1e-5)


def test_a_score_is_the_dot_product_of_user_and_item_vector(fitted: SequenceEncoder) -> None:
    history = [history_of(3, 8)]
    assert np.allclose(fitted.score(history), fitted.encode_users(history) @ fitted.item_vectors().T, atol=1e-5)


def test_the_order_of_a_history_matters(fitted: SequenceEncoder) -> None:
    one, other = fitted.encode_users([history_of(1, 20), history_of(20, 1)])
    assert not np.allclose(one, other, atol=1e-2)


def test_a_target_counts_as_much_as_the_weight_of_its_event(options: EncoderOptions) -> None:
    """After the same item users as often like one thing as another; the event that weighs ten times as much wins."""
    types = EventTypes([EventType("view", Role.POSITIVE), EventType("purchase", Role.POSITIVE, 10.0)])
    choices = [("a", "view"), ("b", "view"), ("c", "purchase")]
    events = [
        Interaction(EventId(f"{number:04d}"), UserId(f"user-{number // 2}"), ItemId(item), event_type, number)
        for number, (item, event_type) in enumerate(
            (choices[0] if step % 2 == 0 else choices[1 + step // 2 % 2]) for step in range(400)
        )
    ]
    dataset = build_dataset(
        columns_of(events), types, holdout_fraction=0.05, validation_fraction=0.05, min_item_events=1
    )
    model = SequenceEncoder(replace(options, batch_events=2_000, max_epochs=60, patience=60))
    told: list[Floats] = []  # of each epoch: validation ranks them all alike, and so the first one would be kept
    model.fit(dataset, lambda _: told.append(model.score([history_of(1)])))
    scores = told[-1][0]
    assert (scores[2] - scores[1]) / options.temperature == pytest.approx(np.log(10), abs=0.1)


def test_it_stops_early_and_keeps_the_weights_of_the_best_epoch(planted: Dataset, options: EncoderOptions) -> None:
    """Patience 1: it ends with the first epoch that is no better, and the model is as good as the best one."""
    reports: list[EpochReport] = []
    model = SequenceEncoder(replace(options, max_epochs=40, patience=1))
    planted = replace(planted, with_validation=None)
    assert model.fit(planted, reports.append) is FitEnd.NO_LONGER_BETTER
    figures = [report.valid_ndcg_at_10 for report in reports]
    assert len(reports) < 40
    assert figures[-1] <= max(figures[:-1])
    assert model._validate(planted) == pytest.approx(max(figures))


def test_it_ends_when_its_time_is_up_and_says_so(planted: Dataset, options: EncoderOptions) -> None:
    reports: list[EpochReport] = []
    end = SequenceEncoder(replace(options, max_seconds=1e-6)).fit(planted, reports.append)
    assert [report.epoch for report in reports] == [1]
    assert end is FitEnd.TIME_LIMIT


def test_when_no_validation_event_can_be_predicted_it_keeps_the_last_epoch(options: EncoderOptions) -> None:
    """Each validation event repeats an item its user was done with: patience never ends it, no epoch is thrown away."""
    events = [
        Interaction(EventId(f"{number:04d}"), UserId(f"user-{number % 4}"), ItemId(f"item-{item}"), "rating", number)
        for number, item in enumerate([step // 4 % 5 for step in range(80)])
    ]
    dataset = build_dataset(
        columns_of(events), DEFAULT_EVENT_TYPES, holdout_fraction=0.1, validation_fraction=0.1, min_item_events=1
    )
    dataset = replace(dataset, with_validation=None)
    reports: list[EpochReport] = []
    weights: list[Floats] = []
    model = SequenceEncoder(replace(options, max_epochs=3, patience=1))

    def on_epoch(report: EpochReport) -> None:
        reports.append(report)
        weights.append(model.item_vectors())

    assert model.fit(dataset, on_epoch) is FitEnd.COMPLETED
    assert [report.valid_ndcg_at_10 for report in reports] == [0.0, 0.0, 0.0]
    assert np.array_equal(model.item_vectors(), weights[-1]), "the average of the weights, as it was measured"
    assert not np.array_equal(weights[0], weights[-1])


def test_events_that_all_happen_at_once_cannot_be_learned_from(planted: Dataset, options: EncoderOptions) -> None:
    """A user whose events share one moment shows no order, and the sentence says so."""
    nothing = np.empty(0, np.int32)
    sequences = replace(planted.sequences, asked=nothing, wanted=nothing)
    with pytest.raises(NotEnoughData, match="earlier moment"):
        SequenceEncoder(options).fit(replace(planted, sequences=sequences), lambda _: None)


def test_it_uses_all_cores_where_the_system_names_none_for_the_process(monkeypatch: pytest.MonkeyPatch) -> None:
    """macOS has no os.sched_getaffinity."""
    assert num_cores() == len(os.sched_getaffinity(0))
    monkeypatch.delattr(os, "sched_getaffinity")
    assert num_cores() == os.cpu_count()


@pytest.mark.parametrize("learning_rate", [float("nan"), 1e30])
def test_a_loss_that_is_no_number_fails_with_what_to_do(
    planted: Dataset, options: EncoderOptions, learning_rate: float
) -> None:
    model = SequenceEncoder(replace(options, learning_rate=learning_rate))
    with pytest.raises(TrainingFailed, match=r"LEARNING_RATE|learning rate"):
        model.fit(planted, lambda _: None)


def test_an_unfitted_encoder_says_so(options: EncoderOptions) -> None:
    with pytest.raises(TrainingFailed, match="fit first"):
        SequenceEncoder(options).item_vectors()


def test_validation_is_learned_once_it_has_said_when_to_stop_and_the_holdout_never(
    planted: Dataset, options: EncoderOptions
) -> None:
    """Its events are asked for in the end; where a protocol forbids it, they are not."""
    assert planted.with_validation is not None
    everything = planted.with_validation()
    assert everything.times_us.max() >= planted.bounds_us["fit_end_us"]
    assert everything.times_us.max() < planted.bounds_us["cut_us"]
    with_it, without = SequenceEncoder(options), SequenceEncoder(options)
    with_it.fit(planted, lambda _: None)
    without.fit(replace(planted, with_validation=None), lambda _: None)
    assert not np.array_equal(with_it.item_vectors(), without.item_vectors())
