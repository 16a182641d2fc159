"""Days lived through again: who is asked what, of which model, and what it knew then. By a model of known answers."""

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest

from services.domain.errors import NotEnoughData
from services.domain.evaluation_data import EvaluationData
from services.domain.event_columns import Words
from services.training.data.dataset import Dataset
from services.training.evaluation.metrics import MISS, Flags
from services.training.evaluation.protocols import DAY_S
from services.training.evaluation.replay import Answered, Replay, popular_within
from services.training.evaluation.replay_figures import replay_figures
from services.training.kinds.popularity import Popularity
from services.training.model import Capabilities, EarlierModel, EpochReport, FitEnd, Floats, History

START_S = 1_700_000_000 // DAY_S * DAY_S
OLD = [(user, item, day) for user in ("yan", "zoe") for day, item in enumerate("abcdef")]
"""Six items in the first six days, by two users."""


class NextLetter(Popularity):
    """Shows the item after the newest of the history, then those after it, around the alphabet it was fitted to."""

    kind = "next_letter"
    capabilities = Capabilities(personal=True)

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        self.dataset = dataset
        return FitEnd.COMPLETED

    def score(self, histories: Sequence[History]) -> Floats:
        num_items = self.dataset.num_items
        newest = np.array([history.items[-1] for history in histories])  # rows, from 1: the index of the next
        scores: Floats = -((np.arange(num_items) - newest[:, np.newaxis]) % num_items).astype(np.float32)
        return scores


def data_of(*events: tuple[str, str, float]) -> EvaluationData:
    """Of (user, item, day)."""
    ordered = sorted([*OLD, *events], key=lambda event: event[0])
    users, items, days = zip(*ordered, strict=True)
    times_s = START_S + (np.array(days, np.float64) * DAY_S).astype(np.int64)
    return EvaluationData(Words.of(users), Words.of(items), times_s)


def replayed(data: EvaluationData, num_days: int) -> tuple[Sequence[Answered], list[NextLetter], list[int]]:
    """The days, every model that was fitted, and on which days nobody was asked."""
    models: list[NextLetter] = []
    quiet: list[int] = []

    def make() -> NextLetter:
        models.append(NextLetter())
        return models[-1]

    def note(number: int, answered: Answered | None) -> None:
        quiet.extend([number] if answered is None else [])

    days = Replay(make, 50, lambda _: None, note).run(data, num_days)
    return days, [model for model in models if hasattr(model, "dataset")], quiet


def places(answered: Answered) -> tuple[list[int], list[int]]:
    """Of each question's first hit the place, from 0, for tonight's model and the frozen one; MISS without any."""

    def first(relevant: Flags) -> list[int]:
        return [int(line.argmax()) if line.any() else MISS for line in relevant]

    return first(answered.nightly.relevant), first(answered.frozen.relevant)


def test_each_day_is_asked_as_of_its_midnight() -> None:
    """On day 10 Ann is known by a alone, on day 11 by a and b: what she does in a day is learned at its end."""
    days, _, _ = replayed(data_of(("ann", "a", 9), ("ann", "b", 10.2), ("ann", "c", 11.9)), 2)
    assert [day.date for day in days] == ["2023-11-24", "2023-11-25"]
    assert [places(day)[0] for day in days] == [[0], [0]]


def test_a_nights_model_learns_from_what_came_before_and_from_nothing_else() -> None:
    """An item first seen on day 10 is no part of that night's model and one of the next night's."""
    events = [("ann", "a", 9), ("ann", "b", 10), ("bob", "new", 10), ("bob", "a", 9), ("ann", "c", 11)]
    _, (first, second), _ = replayed(data_of(*events), 2)
    assert "new" not in first.dataset.vocabulary.item_ids
    assert "new" in second.dataset.vocabulary.item_ids
    assert (len(first.dataset.sequences.items), len(second.dataset.sequences.items)) == (14, 16)


def test_the_frozen_model_reads_todays_histories() -> None:
    """Its parameters are of the first midnight; that Ann came as far as d by the last day, it knows."""
    events = [("ann", "a", 8), ("bob", "a", 8), ("bob", "b", 9.5), ("ann", "d", 9.5), ("ann", "e", 10.5)]
    days, (first, *_), _ = replayed(data_of(*events), 2)
    assert "d" in first.dataset.vocabulary.item_ids
    assert places(days[-1])[1] == [0]


def test_an_item_that_came_after_the_freeze_is_a_miss_for_the_frozen_model_alone() -> None:
    """All answer the same questions: what tonight's model can know."""
    events = [("ann", "f", 8), ("bob", "a", 8), ("bob", "b", 9.5), ("bob", "g", 9.6), ("ann", "g", 10.5)]
    days, _, _ = replayed(data_of(*events), 2)
    nightly, frozen = places(days[-1])
    assert (nightly, frozen) == ([0], [MISS])
    assert days[-1].frozen.num_relevant.tolist() == days[-1].nightly.num_relevant.tolist() == [1]


def test_questions_are_paired_user_by_user() -> None:
    """Of everyone's three answers the users are the same, in the same order; a repeated pair is no question."""
    events = [("ann", "a", 8), ("bob", "b", 8), ("cat", "c", 8)]
    events += [("ann", "b", 10), ("bob", "c", 10), ("bob", "d", 10), ("cat", "c", 10)]
    days, _, _ = replayed(data_of(*events), 1)
    assert days[0].nightly.user_rows.tolist() == days[0].frozen.user_rows.tolist() == days[0].popular.user_rows.tolist()
    assert days[0].nightly.num_relevant.tolist() == [1, 2]


def test_a_day_without_a_question_is_told_and_trains_nothing() -> None:
    """But the first: a frozen model has to be frozen before it."""
    data = data_of(("ann", "a", 7), ("ann", "b", 9), ("ann", "c", 11))
    days, models, quiet = replayed(data, 4)
    assert quiet == [1, 3]
    assert [day.date for day in days] == ["2023-11-23", "2023-11-25"]
    assert len(models) == 3


class Growing(NextLetter):
    """Knows which model it started from, by its days of age."""

    age = 0

    def save(self, folder: Path) -> None:
        (folder / "age").write_text(str(self.age))

    def start_from(self, earlier: EarlierModel) -> None:
        self.age = int((earlier.folder / "age").read_text()) + 1
        self.knew_until_us = earlier.learned_until_us


def test_nights_start_from_the_night_before_until_it_is_time_for_another_from_nothing() -> None:
    """Every third day here; each learned what happened before the midnight that its predecessor began at."""
    models: list[Growing] = []

    def make() -> Growing:
        models.append(Growing())
        return models[-1]

    data = data_of(("ann", "a", 8), *(("ann", item, 10.5 + day) for day, item in enumerate("bcdef")))
    Replay(make, 50, lambda _: None, lambda *_: None, full_every_days=3).run(data, 5)
    fitted = [model for model in models if hasattr(model, "dataset")]
    assert [model.age for model in fitted] == [0, 1, 2, 0, 1]
    assert fitted[1].knew_until_us == fitted[0].dataset.bounds_us["cut_us"]


def test_a_night_in_full_is_fitted_beside_those_that_start_from_the_night_before() -> None:
    """But where tonight's model started from nothing itself."""
    models: list[Growing] = []

    def make() -> Growing:
        models.append(Growing())
        return models[-1]

    data = data_of(("ann", "a", 8), *(("ann", item, 10.5 + day) for day, item in enumerate("bcdef")))
    days = Replay(make, 50, lambda _: None, lambda *_: None, full_every_days=3, beside_full=True).run(data, 5)
    assert [model.age for model in models if hasattr(model, "dataset")] == [0, 1, 0, 2, 0, 0, 1, 0]
    figures = replay_figures(days, seed=1)
    assert (figures["full_ndcg_at_10"], figures["full_gain"]) == (figures["ndcg_at_10"], 0.0)
    assert figures["full_fit_seconds"] == sum(day.full_fit_seconds for day in days)


def test_days_without_any_question_are_not_enough() -> None:
    with pytest.raises(NotEnoughData, match="replay more days"):
        replayed(data_of(("ann", "a", 9)), 1)


def test_places_are_no_days() -> None:
    users = Words.of("aabb")
    with pytest.raises(NotEnoughData, match="places in a history"):
        replayed(EvaluationData(users, users, np.arange(4)), 1)


def test_popularity_of_a_window_counts_users_and_goes_by_ever_beyond_it() -> None:
    """In the last three of ten days two took to b and one to c; before, three to a."""
    events = [("ann", "a", 1), ("ann", "b", 8), ("bob", "b", 9), ("bob", "c", 9), ("ann", "b", 9), ("ann", "d", 10)]
    _, (model,), _ = replayed(data_of(*events), 1)
    scores = popular_within(model.dataset, 3, (START_S + 10 * DAY_S) * 1_000_000)
    items = model.dataset.vocabulary.item_ids
    assert [items[index] for index in np.argsort(-scores)[:3]] == ["b", "c", "a"]
    assert np.floor(scores[:4]).tolist() == [0, 2, 1, 0]


def test_figures_are_means_over_questions_with_gains_in_pairs() -> None:
    """Two questions; the frozen model misses the second, so NDCG is 1 against 1/2 and the gain 1/2."""
    events = [("ann", "f", 8), ("bob", "a", 8), ("bob", "b", 9.5), ("bob", "g", 9.6), ("ann", "g", 10.5)]
    days, _, _ = replayed(data_of(*events), 2)
    figures = replay_figures(days, seed=1)
    assert (figures["users"], figures["questions"]) == (2, 2)
    assert (figures["ndcg_at_10"], figures["frozen_ndcg_at_10"], figures["gain"]) == (1.0, 0.5, 0.5)
    assert figures["gain_ci"] == [0.0, 1.0]
    assert figures["popularity_gain"] == pytest.approx(1.0 - figures["popularity_ndcg_at_10"])
    assert [day["users"] for day in figures["days"]] == [1, 1]
    assert figures["coverage"] == 1.0
    assert "full_gain" not in figures
