"""Law 8 for a search: what is held out is not in what a trial sees, and changes nothing of it."""

import numpy as np
import pytest

from services.domain.errors import NotEnoughData
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import ItemId, UserId
from services.domain.interactions import Interaction
from services.training.data.by_time import build_dataset
from services.training.data.dataset import Dataset
from services.training.kinds.ease import Ease
from services.training.tuning.data import before_the_holdout, ends
from services.training.tuning.trying import Trying
from tests.fakes.event_log import FakeEventLog
from tests.fakes.planted import planted_events

EVENTS = planted_events(60, 20)
SHARE = 0.1


def searched(events: list[Interaction]) -> Dataset:
    log = FakeEventLog(events)
    fit_end_us, cut_us = ends(log.read(log.version()).event_times_us, SHARE, SHARE)
    before = log.read(log.version(), cut_us)
    return before_the_holdout(before, DEFAULT_EVENT_TYPES, fit_end_us, cut_us, min_item_events=1)


def test_the_parts_end_where_those_of_the_nightly_training_do() -> None:
    columns = FakeEventLog(EVENTS).read(0)
    nightly = build_dataset(
        columns, DEFAULT_EVENT_TYPES, holdout_fraction=SHARE, validation_fraction=SHARE, min_item_events=1
    )
    found = searched(EVENTS)
    assert found.bounds_us == nightly.bounds_us
    assert found.fingerprint() == nightly.fingerprint(), "the same to learn from, and the same to choose by"
    assert (len(found.holdout), len(nightly.holdout)) == (0, 120)


def test_what_is_held_out_changes_nothing() -> None:
    """Other users and items in the holdout: the same histories, counts, popularity and figure."""
    cut_us = searched(EVENTS).bounds_us["cut_us"]
    other = [
        each._replace(user_id=UserId("somebody"), item_id=ItemId("something"))
        if each.event_time_us >= cut_us
        else each
        for each in EVENTS
    ]  # fmt: skip
    assert other != EVENTS
    first, second = searched(EVENTS), searched(other)
    assert first.fingerprint() == second.fingerprint()
    assert first.vocabulary == second.vocabulary
    assert np.array_equal(first.popularity, second.popularity)
    assert len(first.counted.items) == len(second.counted.items) == 1_080
    assert max(int(first.counted.times_us.max()), int(first.validation.times_us.max())) < cut_us
    figures = [Trying(each, lambda _: Ease(), 50).ndcg({}, lambda _: None) for each in (first, second)]
    assert figures[0] == figures[1] > 0


def test_a_search_that_is_given_what_is_held_out_refuses_it() -> None:
    columns = FakeEventLog(EVENTS).read(0)
    fit_end_us, cut_us = ends(columns.event_times_us, SHARE, SHARE)
    with pytest.raises(ValueError, match="held out"):
        before_the_holdout(columns, DEFAULT_EVENT_TYPES, fit_end_us, cut_us, min_item_events=1)


@pytest.mark.parametrize("num_events", [0, 1])
def test_a_log_of_next_to_nothing_is_not_enough(num_events: int) -> None:
    with pytest.raises(NotEnoughData, match="collect more"):
        searched(EVENTS[:num_events])


def test_a_validation_part_without_anything_positive_is_not_enough() -> None:
    shown = [each._replace(event_type="impression") if number >= 900 else each for number, each in enumerate(EVENTS)]
    with pytest.raises(NotEnoughData, match="validation"):
        searched(shown)
