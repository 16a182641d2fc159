"""A kind is fitted, frozen, asked and counted: on a model whose answers are known."""

from collections.abc import Callable, Sequence

import numpy as np
import pytest

from services.domain.errors import NotEnoughData
from services.domain.evaluation_data import EvaluationData
from services.domain.event_columns import Words
from services.training.data.dataset import Dataset
from services.training.evaluation.protocol_figures import figures_of
from services.training.evaluation.protocols import Protocol
from services.training.kinds.popularity import Popularity
from services.training.model import EpochReport, FitEnd, Floats, History

ITEMS = "abcdefghijkl"


class InOrder(Popularity):
    """Shows a, b, c, ... to everybody."""

    kind = "in_order"

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        self.num_items = dataset.num_items
        on_epoch(EpochReport(1, 1, 0.5, 0.0, 1.0, 1.0))
        return FitEnd.COMPLETED

    def score(self, histories: Sequence[History]) -> Floats:
        return np.tile(-np.arange(self.num_items, dtype=np.float32), (len(histories), 1))


def next_item_data() -> EvaluationData:
    """Ann's last item b is shown in the first place, since she is done with a; Bob's is the fifth left for him."""
    histories = {"ann": "acdb", "bob": "abcdi", "zoe": "kjlihgfedcb" + "a"}
    rows = [(user, item) for user, items in histories.items() for item in items]
    users, items = (Words.of(column) for column in zip(*rows, strict=True))
    return EvaluationData(users, items, np.arange(len(rows)))


def test_figures_are_means_over_the_users() -> None:
    """Ann's target ranks first, Bob's fifth and Zoe's first, of what is left for them."""
    figures = figures_of(next_item_data(), Protocol.NEXT_ITEM, InOrder(), 50, lambda _: None)
    assert figures.users == 3
    assert figures.hr_at_10 == 1.0
    assert figures.ndcg_at_10 == pytest.approx((1 + 1 / np.log2(6) + 1) / 3)
    assert figures.mrr_at_10 == pytest.approx((1 + 1 / 5 + 1) / 3)
    assert figures.coverage == 10 / 12  # all were done with c and d
    assert figures.with_repeats is None


def test_the_interval_holds_the_figure_and_the_same_seed_gives_the_same() -> None:
    first, again = (
        figures_of(next_item_data(), Protocol.NEXT_ITEM, InOrder(), 50, lambda _: None, seed=3) for _ in range(2)
    )
    low, high = first.ndcg_at_10_ci
    assert low <= first.ndcg_at_10 <= high
    assert first.ndcg_at_10_ci == again.ndcg_at_10_ci


def test_stages_and_epochs_are_told_in_order() -> None:
    told: list[object] = []
    figures_of(
        next_item_data(), Protocol.NEXT_ITEM, InOrder(), 50, lambda report: told.append(report.epoch), told.append
    )
    assert told == ["fit", 1, "measure"]


def test_by_time_also_counts_what_was_bought_again() -> None:
    """Ann buys a again and b for the first time: masked, only b is asked for; not masked, both are."""
    day_s = 86_400
    rows = [("ann", "a", 0), ("ann", "c", 1), ("ann", "a", 20), ("ann", "b", 20)]
    rows += [("zoe", item, 2) for item in ITEMS]
    users, items, days = zip(*rows, strict=True)
    data = EvaluationData(Words.of(users), Words.of(items), 1_700_000_000 + np.array(days) * day_s)
    figures = figures_of(data, Protocol.BY_TIME, InOrder(), 50, lambda _: None)
    assert (figures.users, figures.ndcg_at_10) == (1, 1.0)
    assert figures.with_repeats == {"hr_at_10": 1.0, "ndcg_at_10": 1.0}


def test_a_test_of_what_users_had_before_predicts_nothing() -> None:
    """A figure of nothing would be no number."""
    rows = [("ann", "a"), ("ann", "b"), ("ann", "a"), ("zoe", "b"), ("zoe", "a"), ("zoe", "b")]
    users, items = (Words.of(column) for column in zip(*rows, strict=True))
    data = EvaluationData(users, items, np.arange(6), np.array([False, False, True] * 2))
    with pytest.raises(NotEnoughData, match="nothing to predict"):
        figures_of(data, Protocol.GIVEN_SPLIT, InOrder(), 50, lambda _: None)


def test_slices_and_what_is_shown_are_figures_too() -> None:
    """Without content there is no calibration to speak of."""
    figures = figures_of(next_item_data(), Protocol.NEXT_ITEM, InOrder(), 50, lambda _: None)
    assert [part.name for part in figures.slices][:2] == ["all", "users with 10 events or more"]
    assert figures.slices[0].ndcg_at_10 == pytest.approx(figures.ndcg_at_10)
    assert figures.novelty > 0
    assert 0 < figures.gini < 1
    assert figures.miscalibration is None
