"""What was popular in the last days, against what ever was."""

import numpy as np

from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.training.data.by_time import build_dataset
from services.training.kinds.popularity import DAY_US, of_last_days
from tests.fakes.event_log import columns_of


def test_the_last_days_count_from_the_cut_and_older_ones_only_settle_ties() -> None:
    """A month before, four took to a, three to d and one to e; in the last week one to b and two to c."""
    takes = [(0, user, "a") for user in ("ann", "bob", "cem", "dot")] + [
        (0, user, "d") for user in ("ann", "bob", "cem")
    ]
    takes += [(0, "ann", "e"), (26, "cem", "b"), (26, "ann", "c"), (27, "bob", "c"), (31, "ann", "a"), (31, "bob", "a")]
    rows = [
        Interaction(EventId(f"{number:03d}"), UserId(user), ItemId(item), "view", day * DAY_US + number)
        for number, (day, user, item) in enumerate(takes)
    ]
    dataset = build_dataset(
        columns_of(rows), DEFAULT_EVENT_TYPES, holdout_fraction=0.16, validation_fraction=0.1, min_item_events=1
    )
    assert dataset.bounds_us["cut_us"] >= 31 * DAY_US, "what came on the last day is held out"

    def order(days: float) -> str:
        places = np.argsort(-of_last_days(dataset, days), kind="stable").tolist()
        return "".join(dataset.vocabulary.item_ids[place] for place in places)

    assert order(7.0) == "cbade"
    assert order(60.0) == "adcbe"
    assert order(4.5) == "cadbe", "of the week's three events one is left"
