"""Data sets so small that their answers are worked out by hand, or by the formula in plain numpy."""

from collections.abc import Iterable, Mapping

import numpy as np
import numpy.typing as npt

from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, UserId
from services.domain.interactions import Interaction
from services.training.data.assembly import Split, assemble
from services.training.data.dataset import Dataset
from services.training.model import History
from tests.fakes.event_log import columns_of

Doubles = npt.NDArray[np.float64]
VIEW, CART, DISLIKE = 1, 4, 8
"""Rows of DEFAULT_EVENT_TYPES, which weigh 1, 3 and -1."""


def dataset_of(events: Iterable[tuple[str, str, str]], bounds_us: Mapping[str, int] | None = None) -> Dataset:
    """All to learn from: (user, item, event type), a microsecond apart."""
    rows = [
        Interaction(EventId(f"{number:06d}"), UserId(user), ItemId(item), event_type, number)
        for number, (user, item, event_type) in enumerate(events)
    ]
    columns = columns_of(rows)
    split = Split(np.zeros(len(rows), np.int8), columns.event_times_us, bounds_us or {})
    return assemble(columns, DEFAULT_EVENT_TYPES, split, {})


def random_dataset(num_users: int, num_items: int, density: float, seed: int = 5) -> tuple[Dataset, Doubles]:
    """Views at random, and the matrix of them in rows of users and items; every item has a view."""
    random = np.random.default_rng(seed)
    matrix = (random.random((num_users, num_items)) < density).astype(np.float64)
    matrix[np.arange(num_items) % num_users, np.arange(num_items)] = 1.0
    events = [(f"user-{user}", f"item-{item:04d}", "view") for user, item in np.argwhere(matrix)]
    dataset = dataset_of(events)
    seen = [int(user_id.removeprefix("user-")) for user_id in dataset.histories.user_rows]
    return dataset, matrix[seen]


def viewed(*items: int) -> History:
    """Item rows, viewed one after the other."""
    rows = np.array(items, np.int64)
    return History(rows, np.full(len(rows), VIEW), np.zeros(len(rows), np.int64))


def histories_of(matrix: Doubles) -> list[History]:
    return [viewed(*(np.flatnonzero(row) + 1)) for row in matrix]
