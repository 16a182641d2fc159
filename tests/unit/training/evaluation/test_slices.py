"""Slices: whom and what each of them holds, on figures that are known."""

from collections.abc import Sequence

import numpy as np

from services.domain.event_types import EventType, EventTypes, Role
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.evaluation.ranking import Ranked, rank_targets
from services.training.evaluation.slices import Slice, head_items, slices
from services.training.model import Floats, History
from tests.fakes.event_log import columns_of

EVENT_TYPES = EventTypes([EventType("view", Role.POSITIVE), EventType("buy", Role.POSITIVE)])


def dataset_of(*events: tuple[str, str, str], holdout_fraction: float) -> Dataset:
    """Of (user, item, event type), a second apart."""
    rows = [
        Interaction(EventId(f"{number:03d}"), UserId(user), ItemId(item), event_type, (1 + number) * 1_000_000)
        for number, (user, item, event_type) in enumerate(events)
    ]
    return build_dataset(
        columns_of(rows),
        EVENT_TYPES,
        holdout_fraction=holdout_fraction,
        validation_fraction=0.05,
        min_item_events=1,
    )


def ranked(dataset: Dataset) -> Ranked:
    """By a model that shows item a first, then b, and so on."""

    def score(histories: Sequence[History]) -> Floats:
        return np.tile(-np.arange(dataset.num_items, dtype=np.float32), (len(histories), 1))

    return rank_targets(score, dataset.holdout, dataset.histories, dataset.popularity, 50)


def data() -> Dataset:
    """Of 40 events 35 come first: ann has 20 of a, bob 15 of all others; then four targets and an item never seen."""
    first = [("ann", "a", "view")] * 20 + [("bob", "bcdefghijklm"[n % 12], "view") for n in range(15)]
    last = [
        ("ann", "a", "buy"),
        ("cat", "b", "view"),
        ("bob", "m", "view"),
        ("cat", "new", "view"),
        ("dan", "a", "view"),
    ]
    return dataset_of(*first, *last, holdout_fraction=5 / 40)


def by_name(found: Sequence[Slice]) -> dict[str, Slice]:
    return {each.name: each for each in found}


def test_head_items_are_the_fewest_that_have_most_of_the_interactions() -> None:
    """Of 35 interactions 28 are 80%: a has 20, b to d two each; with one of the others it is not reached before."""
    dataset = data()
    counts = np.bincount(dataset.counted.items, minlength=dataset.num_items + 1)[1:]
    head = head_items(dataset)
    assert counts[head].sum() >= 0.8 * counts.sum() > counts[head].sum() - counts[head].min()
    assert counts[head].min() >= counts[~head].max()


def test_every_target_is_in_one_slice_of_each_kind() -> None:
    found = by_name(slices(ranked(data()), data(), seed=1))
    num = {name: each.num_targets for name, each in found.items()}
    assert num["all"] == 5
    assert num["users with 10 events or more"] == 2
    assert num["users with fewer than 10 events"] == 3
    assert num["head items"] + num["tail items"] + num["items never seen"] == 5
    assert num["items never seen"] == 1
    assert (num["event view"], num["event buy"]) == (4, 1)


def test_figures_are_those_of_the_slice_alone() -> None:
    """An item never seen is never found; m ranks thirteenth of thirteen."""
    found = by_name(slices(ranked(data()), data(), seed=1))
    assert found["items never seen"].hr_at_10 == 0.0
    assert (found["event buy"].hr_at_10, found["event buy"].ndcg_at_10) == (1.0, 1.0)
    assert found["event buy"].num_users == 1
    assert found["tail items"].hr_at_10 == 0.0
    assert found["all"].hr_at_10 == 3 / 5


def test_an_interval_stands_beside_every_figure() -> None:
    for each in slices(ranked(data()), data(), seed=1):
        low, high = each.ndcg_at_10_ci
        assert low <= each.ndcg_at_10 <= high


def test_a_slice_without_targets_and_types_that_do_not_differ_are_left_out() -> None:
    events = [(user, item, "view") for item in "abcde" for user in ("ann", "bob")]
    dataset = dataset_of(*events, ("ann", "a", "view"), holdout_fraction=1 / 11)
    names = [each.name for each in slices(ranked(dataset), dataset, seed=1)]
    assert names == ["all", "users with fewer than 10 events", "head items"]
