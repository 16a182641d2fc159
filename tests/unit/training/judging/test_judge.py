"""Champion and challengers by hand-made versions of which it is known who is better, and by how much."""

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest

from services.domain.errors import InvalidRequest, TrainingFailed
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import ModelVersion
from services.features.history import Histories
from services.training.data.by_time import build_dataset
from services.training.evaluation.holdout import measure
from services.training.evaluation.ranking import NOTHING
from services.training.judging.judge import Comparison, Judge
from services.training.judging.version import AmongTonight, Published, Tonight
from services.training.kinds.popularity import Popularity
from tests.fakes.event_log import columns_of
from tests.fakes.planted import planted_events
from tests.unit.training.judging.hand_made import ITEMS, Foretells, successor, version

SEED = 3
HALF = ITEMS[: len(ITEMS) // 2]


@pytest.fixture(scope="module")
def tonight() -> Tonight:
    events = columns_of(planted_events(80, 25))
    dataset = build_dataset(
        events, DEFAULT_EVENT_TYPES, holdout_fraction=0.1, validation_fraction=0.1, min_item_events=1
    )
    return Tonight(events, DEFAULT_EVENT_TYPES, dataset)


def shuffled(item: str) -> str:
    """Labels that went astray: always of another cluster."""
    _, cluster, place = item.split("-")
    return f"item-{(int(cluster) + 3) % 10}-{place}"


def judged(tonight: Tonight, challenger: Published, champion: Published | None) -> Mapping[str, float]:
    """The challenger's figures."""
    return compared(tonight, challenger, champion).figures[challenger.version]


def compared(tonight: Tonight, challenger: Published, champion: Published | None) -> Comparison:
    return Judge(tonight, SEED, lambda _: None).judge([challenger], champion)


def test_the_better_one_wins_with_an_interval_above_nothing(tonight: Tonight) -> None:
    figures = judged(tonight, version("new"), version("old", shuffled))
    assert figures["ndcg_vs_champion_at_10_low"] > 0.5
    assert figures["ndcg_vs_champion_at_10_low"] < figures["ndcg_vs_champion_at_10"]
    assert figures["ndcg_vs_champion_at_10"] < figures["ndcg_vs_champion_at_10_high"]
    assert figures["ndcg_at_10"] - figures["champion_ndcg_at_10"] == pytest.approx(figures["ndcg_vs_champion_at_10"])
    assert figures["tail_items_vs_champion_at_10_low"] > 0


def test_shuffled_labels_lose_with_an_interval_below_nothing(tonight: Tonight) -> None:
    figures = judged(tonight, version("new", shuffled), version("old"))
    assert figures["ndcg_vs_champion_at_10_high"] < -0.5
    assert figures["ndcg_gain_at_10_high"] < 0.1, "nor is it any better than what is popular"
    assert figures["ndcg_vs_week_popularity_at_10_high"] < 0.1


def test_equal_ones_differ_by_exactly_nothing(tonight: Tonight) -> None:
    figures = judged(tonight, version("new"), version("old"))
    of_difference = {
        name: figures[name] for name in figures if "_vs_champion_" in name or name == "changed_share_at_10"
    }
    assert len(of_difference) >= 7
    assert set(of_difference.values()) == {0.0}
    assert figures["vocabulary_overlap"] == 1.0


def test_an_order_of_rows_means_nothing(tonight: Tonight) -> None:
    """Vocabularies differ from night to night; what counts are the items' names."""
    figures = judged(tonight, version("new", items=ITEMS[::-1]), version("old"))
    assert figures["ndcg_at_10"] == figures["champion_ndcg_at_10"] > 0.5
    assert figures["changed_share_at_10"] == figures["ndcg_vs_champion_at_10_high"] == 0.0


def test_a_champion_of_fewer_items_misses_the_others_and_shows_none_of_them(tonight: Tonight) -> None:
    found = compared(tonight, version("new"), version("old", items=HALF))
    champion = found.champion
    assert champion is not None
    rows = tonight.dataset.vocabulary.item_rows
    lacking = np.array([row for item, row in rows.items() if item not in HALF])
    of_lacking = np.isin(champion.found.targets, lacking)
    assert of_lacking.sum() > 5
    assert champion.found.by_moment.ndcg(10)[of_lacking].max() == 0.0
    assert not np.isin(champion.found.lists, lacking - 1).any()
    assert found.figures[ModelVersion("new")]["ndcg_vs_champion_at_10_low"] > 0
    assert found.figures[ModelVersion("new")]["vocabulary_overlap"] == 1.0, "it knows all that the champion does"


def test_a_challenger_that_lost_items_says_how_much_of_what_people_do_it_lost(tonight: Tonight) -> None:
    figures = judged(tonight, version("new", items=HALF), version("old"))
    cut_us = tonight.dataset.bounds_us["cut_us"]
    before = [each.item_id for each in planted_events(80, 25) if each.event_time_us < cut_us]
    kept = sum(item in HALF for item in before)
    assert figures["vocabulary_overlap"] == pytest.approx(kept / len(before))
    assert figures["ndcg_vs_champion_at_10_high"] < 0


def test_with_no_item_in_common_the_overlap_is_nothing(tonight: Tonight) -> None:
    assert judged(tonight, version("new"), version("old", items=["elsewhere-0-0"]))["vocabulary_overlap"] == 0.0


def test_histories_are_read_in_a_versions_own_words_as_serving_reads_them(tonight: Tonight) -> None:
    """Items that it lacks are left out before the time between events is taken (law 8)."""
    old = version("old", items=HALF)
    expected = Histories(tonight.events, old.vocabulary, DEFAULT_EVENT_TYPES)
    among = AmongTonight(old, tonight)
    found = [among.as_of(user, time_us, 12) for user, time_us in tonight.dataset.holdout.questions[0].T]
    wanted = [expected.as_of(user, time_us, 12) for user, time_us in tonight.dataset.holdout.questions[0].T]
    assert all(
        np.array_equal(ours, theirs)
        for pair in zip(found, wanted, strict=True)
        for ours, theirs in zip(*pair, strict=True)
    )
    whole = [
        tonight.dataset.histories.as_of(user, time_us, 12) for user, time_us in tonight.dataset.holdout.questions[0].T
    ]
    assert sum(len(each.items) for each in found) < sum(len(each.items) for each in whole)


def test_who_is_unknown_gets_the_versions_own_popular_items(tonight: Tonight) -> None:
    """As in serving: the bundle's popularity, not tonight's."""
    stranger = version("old", items=["elsewhere-0-0", "item-3-1", "item-3-2"], popular=["item-3-2"])
    among = AmongTonight(stranger, tonight)
    found = among.ranked(tonight.dataset.holdout)
    knows_nothing = [
        len(among.as_of(user, time_us, 12).items) == 0
        for user, time_us in zip(found.question_users, found.question_times_us, strict=True)
    ]
    assert sum(knows_nothing) > 5
    rows = tonight.dataset.vocabulary.item_rows
    shown = found.lists[np.array(knows_nothing)]
    assert set(shown[:, 0]) == {rows["item-3-2"] - 1}  # type: ignore[index]
    assert set(shown[:, 1]) == {rows["item-3-1"] - 1}  # type: ignore[index]
    assert set(shown[:, 2:].ravel()) == {NOTHING}


def test_without_a_champion_there_are_the_figures_of_training_and_none_beside_them(tonight: Tonight) -> None:
    """With the names that the holdout's have, so that whoever reads one reads the other."""
    model = Popularity()
    model.fit(tonight.dataset, lambda _: None)
    figures = judged(tonight, version("new"), None)
    assert measure(model, tonight.dataset, 12, SEED).keys() <= figures.keys()
    assert figures["num_bad_vectors"] == 0.0
    assert not [name for name in figures if "champion" in name or name in ("changed_share_at_10", "vocabulary_overlap")]


def test_popularity_in_disguise_gains_nothing_over_popularity(tonight: Tonight) -> None:
    model = Popularity()
    model.fit(tonight.dataset, lambda _: None)
    items = tonight.dataset.vocabulary.item_ids

    class Disguised(Foretells):
        def score(self, histories: Any, /) -> Any:
            return np.tile(model.scores, (len(histories), 1))

    disguised = version("new", items=items)
    disguised.served = Disguised(items, successor)
    disguised.served.popularity[:] = model.scores
    figures = judged(tonight, disguised, version("old"))
    assert figures["ndcg_gain_at_10"] == figures["ndcg_gain_at_10_high"] == 0.0
    assert figures["ndcg_at_10"] == figures["popularity_ndcg_at_10"] > 0.0


def test_a_champion_that_saw_the_holdout_is_not_compared_with(tonight: Tonight) -> None:
    """Law 8: such as after the log was cut back; it would win by heart."""
    late = version("old", cut_us=tonight.dataset.bounds_us["cut_us"] + 1)
    found = compared(tonight, version("new"), late)
    assert (found.champion, found.champion_saw_holdout) == (None, True)
    assert "old has seen some of what is held out" in found.champion_problem
    assert "champion_ndcg_at_10" not in found.figures[ModelVersion("new")]
    on_time = compared(tonight, version("new"), version("old", cut_us=tonight.dataset.bounds_us["cut_us"]))
    assert (on_time.champion is None, on_time.champion_saw_holdout) == (False, False)


def test_a_champion_that_does_not_say_what_it_saw_is_not_compared_with(tonight: Tonight) -> None:
    found = compared(tonight, version("new"), version("old", cut_us=None))
    assert (found.champion, found.champion_saw_holdout) == (None, False)
    assert "does not say which events" in found.champion_problem


@pytest.mark.parametrize("cut_us", [2**62, None], ids=["late", "unknown"])
def test_a_challenger_that_saw_the_holdout_is_no_challenger(tonight: Tonight, cut_us: int | None) -> None:
    with pytest.raises(InvalidRequest, match="new, which has seen"):
        compared(tonight, version("new", cut_us=cut_us), None)


class NoNumbers(Foretells):
    def score(self, histories: Any, /) -> Any:
        return np.full((len(histories), len(ITEMS)), np.nan, np.float32)


def test_a_champion_that_gives_no_numbers_is_none_and_such_a_challenger_an_error(tonight: Tonight) -> None:
    broken = version("broken")
    broken.served = NoNumbers(ITEMS, successor)
    found = compared(tonight, version("new"), broken)
    assert found.champion is None
    assert "no numbers" in found.champion_problem
    with pytest.raises(TrainingFailed, match="broken scores items"):
        compared(tonight, broken, version("old"))


def test_all_are_asked_the_same_and_told_of_in_turn(tonight: Tonight) -> None:
    told: list[Mapping[str, Any]] = []
    challengers = [version("one"), version("two", shuffled, items=HALF)]
    found = Judge(tonight, SEED, told.append).judge(challengers, version("old"))
    assert [(line["version"], line["role"]) for line in told] == [
        ("old", "champion"), ("one", "challenger"), ("two", "challenger"),
    ]  # fmt: skip
    one, two = found.challengers.values()
    assert np.array_equal(one.found.questions, two.found.questions)
    assert len(one.by_user) == len(two.by_user) == found.figures[ModelVersion("one")]["num_holdout_users"]
    assert found.num_questions == len(np.unique(one.found.questions))
