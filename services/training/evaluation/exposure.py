"""What lists show of the catalogue, whoever chose what: how unusual it is, and how unevenly spread."""

import numpy as np

from services.training.data.dataset import CountedEvents
from services.training.evaluation.metrics import Doubles, Ints
from services.training.evaluation.ranking import NOTHING


def self_information(counted: CountedEvents, num_items: int) -> Doubles:
    """How much it says of a user that they took to an item, bits, (num_items,): -log2 of the share of users who did.

    An item that nobody took to counts as that of one user. Source: Zhou et al., PNAS 2010.
    """
    num_users = max(1, len(np.unique(counted.user_rows)))
    takers = np.bincount(counted.latest().items, minlength=num_items + 1)[1:]
    information: Doubles = np.log2(num_users / np.maximum(takers, 1))
    return information


def novelty(lists: Ints, information: Doubles) -> float:
    """The mean self-information of what is shown, 0 where nothing is; lists: (num_lists, k) item indices or NOTHING."""
    shown = lists[lists != NOTHING]
    return float(information[shown].mean()) if len(shown) else 0.0


def gini(lists: Ints, num_items: int) -> float:
    """How unevenly places in lists fall to items: 0, each item has as many; near 1, one item has all of them.

    Items that are never shown count. lists: as above. Source: Fleder & Hosanagar, Management Science 2009.
    """
    places = np.sort(np.bincount(lists[lists != NOTHING], minlength=num_items))  # (num_items,), ascending
    if places.sum() == 0:
        return 0.0
    order = np.arange(1, num_items + 1)
    return float(((2 * order - num_items - 1) * places).sum() / (num_items * places.sum()))
