"""Some users of the holdout, what they had done, what they were shown, and what they chose: figures made visible.

Nobody is named: a report stands beside its bundle for as long as that does, and an erasure does not search it.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from services.domain.ids import ItemId
from services.features.history import Rows
from services.training.data.dataset import Dataset
from services.training.evaluation.ranking import NOTHING, Ranked
from services.training.model import TrainableModel

NUM_EXAMPLES: Final = 12  # larger: nobody reads on; smaller: chance shows one kind of user
NUM_NEWEST: Final = 8
TOP: Final = 10


@dataclass(frozen=True, slots=True)
class Shown:
    name: str
    score: float
    is_chosen: bool


@dataclass(frozen=True, slots=True)
class Example:
    newest: Sequence[str]
    """The last few of what they did, oldest first, by the items' names."""
    num_known: int
    """How many events the model saw of them."""
    shown: Sequence[Shown]
    chosen: Sequence[str]
    """What they went on to choose, whether it was shown or not."""


def examples(
    model: TrainableModel, dataset: Dataset, found: Ranked, max_history: int, titles: Mapping[ItemId, str]
) -> list[Example]:
    """Of users with a history, spread evenly over the questions and so not picked; titles: where known, else the id."""
    asked = [place for place in np.unique(found.questions).tolist() if len(_history(dataset, found, place, 1))]
    picked = np.unique(np.linspace(0, len(asked) - 1, min(NUM_EXAMPLES, len(asked))).astype(np.int64)).tolist()
    return [_example(model, dataset, found, asked[each], max_history, titles) for each in picked]


def _example(
    model: TrainableModel, dataset: Dataset, found: Ranked, place: int, max_history: int, titles: Mapping[ItemId, str]
) -> Example:
    def name(row: int) -> str:
        item_id = dataset.vocabulary.item_ids[row - 1] if row > 0 else ItemId("an item never seen in training")
        return titles.get(item_id, item_id)

    user, time_us = int(found.question_users[place]), int(found.question_times_us[place])
    history = dataset.histories.as_of(user, time_us, max_history)
    (scores,) = model.score([history])  # (num_items,)
    chosen = found.targets[found.questions == place].tolist()
    return Example(
        newest=[name(row) for row in history.items[-NUM_NEWEST:].tolist()],
        num_known=len(history.items),
        shown=[
            Shown(name(index + 1), float(scores[index]), index + 1 in chosen)
            for index in found.lists[place, :TOP].tolist()
            if index != NOTHING
        ],
        chosen=[name(row) for row in dict.fromkeys(chosen)],
    )


def _history(dataset: Dataset, found: Ranked, place: int, length: int) -> Rows:
    return dataset.histories.as_of(int(found.question_users[place]), int(found.question_times_us[place]), length).items
