"""The encoder recovers what was planted, repeats itself from a seed, looks at no future, and fails loudly."""

from dataclasses import replace

import numpy as np
import pytest
import torch

from services.domain.errors import TrainingFailed
from services.features.history import Rows
from services.training.dataset import Dataset
from services.training.holdout import measure
from services.training.model import EpochReport
from services.training.sequence_encoder import EncoderOptions, SequenceEncoder


def rows(*values: int) -> Rows:
    return np.array(values, np.int64)


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
        one, two = fitted.network(first, types), fitted.network(second, types)
    assert torch.allclose(one[:, :3], two[:, :3], atol=1e-6)
    assert not torch.allclose(one[:, 3], two[:, 3], atol=1e-3)


def test_a_batch_of_mixed_lengths_scores_as_each_history_alone(fitted: SequenceEncoder) -> None:
    histories = [(rows(4), rows(1)), (rows(1, 2, 3, 4, 5), rows(1, 1, 2, 1, 1)), (rows(7, 7), rows(1, 1))]
    together = fitted.score(histories)
    alone = np.concatenate([fitted.score([history]) for history in histories])
    assert np.allclose(together, alone, atol=1e-5)


def test_a_score_is_the_dot_product_of_user_and_item_vector(fitted: SequenceEncoder) -> None:
    history = [(rows(3, 8), rows(1, 1))]
    assert np.allclose(fitted.score(history), fitted.user_vectors(history) @ fitted.item_vectors().T, atol=1e-5)


def test_the_order_of_a_history_matters(fitted: SequenceEncoder) -> None:
    one, other = fitted.user_vectors([(rows(1, 20), rows(1, 1)), (rows(20, 1), rows(1, 1))])
    assert not np.allclose(one, other, atol=1e-2)


def test_it_stops_early_and_keeps_the_weights_of_the_best_epoch(planted: Dataset, options: EncoderOptions) -> None:
    """Patience 1: it ends with the first epoch that is no better, and the model is as good as the best one."""
    reports: list[EpochReport] = []
    model = SequenceEncoder(replace(options, max_epochs=40, patience=1))
    model.fit(planted, reports.append)
    figures = [report.valid_ndcg_at_10 for report in reports]
    assert len(reports) < 40
    assert figures[-1] <= max(figures[:-1])
    assert model._validate(planted) == pytest.approx(max(figures))


def test_it_ends_when_its_time_is_up(planted: Dataset, options: EncoderOptions) -> None:
    reports: list[EpochReport] = []
    SequenceEncoder(replace(options, max_seconds=1e-6)).fit(planted, reports.append)
    assert [report.epoch for report in reports] == [1]


@pytest.mark.parametrize("learning_rate", [float("nan"), 1e30])
def test_a_loss_that_is_no_number_fails_with_what_to_do(
    planted: Dataset, options: EncoderOptions, learning_rate: float
) -> None:
    model = SequenceEncoder(replace(options, learning_rate=learning_rate))
    with pytest.raises(TrainingFailed, match=r"LEARNING_RATE|learning rate"):
        model.fit(planted, lambda _: None)


def test_an_unfitted_encoder_says_so() -> None:
    with pytest.raises(TrainingFailed, match="fit first"):
        SequenceEncoder(EncoderOptions(8, 1, 1, 0, 4, 1, 1e-3, 0, 0, 1, 1, 1, 1)).item_vectors()
