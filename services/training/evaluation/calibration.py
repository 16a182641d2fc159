"""How far what is shown strays from a user's mix of tastes: somebody of 70 romances and 30 war films, shown romances.

Source: Steck, RecSys 2018. Tastes are the items' features; each item shares one vote among its own.
"""

from collections.abc import Iterable
from typing import Final

import numpy as np

from services.features.history import Rows
from services.training.data.content import ItemContent
from services.training.evaluation.metrics import Doubles, Ints
from services.training.evaluation.ranking import NOTHING

MIXED_IN: Final = 0.01  # of the history's mix, so that a taste that is not shown costs finitely; as in the paper


def miscalibration(histories: Iterable[Rows], lists: Ints, content: ItemContent) -> float | None:
    """The mean divergence from histories to lists, nats; 0 is best. None when no history has an item with features.

    histories: item rows, from 1; lists: (num_lists, k) item indices or NOTHING, one for each history.
    """
    pairs = zip(histories, lists, strict=True)
    found = [_divergence(history - 1, shown[shown != NOTHING], content) for history, shown in pairs]
    known = [each for each in found if each is not None]
    return float(np.mean(known)) if known else None


def _divergence(history: Rows, shown: Rows, content: ItemContent) -> float | None:
    """KL(history || list); both are item indices, from 0."""
    tastes, wanted = _mix(history, content)
    if not len(tastes):
        return None
    others, given = _mix(shown, content)
    # A taste that the history lacks adds nothing to the sum, and what it takes of the list is missing elsewhere.
    mixed = MIXED_IN * wanted
    places = np.searchsorted(tastes, others)
    matches = np.flatnonzero((places < len(tastes)) & (tastes[np.minimum(places, len(tastes) - 1)] == others))
    mixed[places[matches]] += (1 - MIXED_IN) * given[matches]
    return float((wanted * np.log(wanted / mixed)).sum())


def _mix(items: Rows, content: ItemContent) -> tuple[Rows, Doubles]:
    """The features of these items, ascending, and the share of each; items without features have no vote."""
    starts, sizes = content.starts[items], content.starts[items + 1] - content.starts[items]
    votes = [content.features[start : start + size] for start, size in zip(starts, sizes, strict=True)]
    weights = np.repeat(1.0 / np.maximum(sizes, 1), sizes)
    features, places = np.unique(np.concatenate([*votes, np.empty(0, np.int64)]), return_inverse=True)
    shares = np.bincount(places, weights=weights, minlength=len(features))
    return features.astype(np.int64), shares / max(shares.sum(), 1e-12)
