"""Versions whose answers are known beforehand, on the planted events: the next item is the one after the last."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import replace

import numpy as np

from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import ItemId
from services.domain.vocabulary import Vocabulary, input_types
from services.training.judging.version import Published
from services.training.model import Floats, History
from tests.fakes.planted import CLUSTER_SIZE, NUM_CLUSTERS
from tests.fakes.tiny_bundle import manifest_of

ITEMS = tuple(f"item-{cluster}-{place}" for cluster in range(NUM_CLUSTERS) for place in range(CLUSTER_SIZE))


def successor(item: str) -> str:
    """What nine in ten users choose next."""
    _, cluster, place = item.split("-")
    return f"item-{cluster}-{(int(place) + 1) % CLUSTER_SIZE}"


class Foretells:
    """Puts one item first, by the newest of a history; the others are alike to it."""

    def __init__(self, items: Sequence[str], next_of: Callable[[str], str], popular: Iterable[str] = ()) -> None:
        self._rows = {item: row for row, item in enumerate(items)}
        self._items, self._next_of = items, next_of
        self.popularity: Floats = np.zeros(len(items), np.float32)
        self.popularity[[self._rows[item] for item in popular]] = 1.0
        self.item_vectors: Floats = np.ones((len(items), 2), np.float32)

    def score(self, histories: Sequence[History], /) -> Floats:
        scores = np.zeros((len(histories), len(self._items)), np.float32)
        for line, history in enumerate(histories):
            place = self._rows.get(self._next_of(self._items[history.items[-1] - 1]))
            if place is not None:
                scores[line, place] = 1.0
        return scores


def version(
    name: str,
    next_of: Callable[[str], str] = successor,
    *,
    items: Sequence[str] = ITEMS,
    cut_us: int | None = 0,
    popular: Iterable[str] = (),
) -> Published:
    """A published version that foretells; cut_us: 0 has seen nothing, None does not say."""
    manifest = replace(
        manifest_of(name, dim=2, num_items=len(items)),
        max_history=12,
        configuration={} if cut_us is None else {"cut_us": cut_us},
    )
    vocabulary = Vocabulary(tuple(map(ItemId, items)), input_types(DEFAULT_EVENT_TYPES))
    return Published(manifest, vocabulary, Foretells(items, next_of, popular))
