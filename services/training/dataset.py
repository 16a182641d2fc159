"""From the columns of the log to what a model is trained, stopped early and measured on: splits by time alone.

    | fit ................................ | validation ... | holdout ... |   time ->
                                           ^ fit_end_us     ^ cut_us

Parameters learn from `fit`; `validation` says when to stop; nothing from `cut_us` on is seen before the model is
frozen. Events of one moment never straddle an end, so a part may hold a few more events than its share.
"""

from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import numpy.typing as npt

from services.domain.errors import NotEnoughData
from services.domain.event_types import EventTypes, Role
from services.domain.ids import ItemId
from services.domain.ports import EventColumns
from services.domain.vocabulary import Vocabulary, input_types
from services.features.history import Histories, Rows, event_type_rows_of, rows_of

Weights: TypeAlias = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Moments:
    """Positive events to be predicted, in time order: who, when, and what they chose. All int64 (num_moments,)."""

    user_rows: Rows
    times_us: Rows
    targets: Rows
    """Item rows; 0 for an item the vocabulary lacks, which no model can hit."""

    def __len__(self) -> int:
        return len(self.targets)

    def thinned(self, limit: int) -> "Moments":
        """At most `limit` of them, spread evenly over time."""
        chosen = np.unique(np.linspace(0, len(self) - 1, min(limit, len(self))).astype(np.int64))
        return Moments(self.user_rows[chosen], self.times_us[chosen], self.targets[chosen])


@dataclass(frozen=True)
class TrainingSequences:
    """What the parameters learn from, user after user, oldest first within each."""

    items: Rows
    """(num_events,) item rows."""
    types: Rows
    """(num_events,) event-type rows."""
    starts: Rows
    """(num_users + 1,) where each user's events start."""
    asked: Rows
    """(num_targets,) the position that is asked for each target, ascending: see `_targets`."""
    targets: Rows
    """(num_targets,) item rows, never 0."""
    weights: Weights
    """(num_targets,) how much each target counts, above 0: the weight of its event's type."""


@dataclass(frozen=True)
class Dataset:
    vocabulary: Vocabulary
    sequences: TrainingSequences
    popularity: Weights
    """(num_items,) sum of the signed weights of an item's events before the cut; row r of the vocabulary is at r - 1.

    With weights of 1 and no negative events it is their number. Below 0 for an item that more was said against than
    for: it then ranks behind those of which nothing is known.
    """
    validation: Moments
    holdout: Moments
    histories: Histories
    fit_end_us: int
    cut_us: int

    @property
    def num_items(self) -> int:
        return len(self.vocabulary.item_ids)


def build_dataset(
    events: EventColumns,
    event_types: EventTypes,
    *,
    holdout_fraction: float,
    validation_fraction: float,
    min_item_events: int,
) -> Dataset:
    """Splits by time and numbers the items; raises NotEnoughData with what is missing.

    Fractions are shares of the events in time order; that of validation is of what the holdout leaves.
    """
    times_us = events.event_times_us
    if len(times_us) == 0:
        raise NotEnoughData("The log holds no events in this range; send some, or choose a later --as-of.")
    cut_us = _start_of_last(times_us, holdout_fraction)
    fit_end_us = _start_of_last(times_us[times_us < cut_us], validation_fraction) if times_us[0] < cut_us else cut_us
    fit = times_us < fit_end_us
    vocabulary = _vocabulary(events.item_ids[fit], events.event_types[fit], event_types, min_item_events)
    histories = Histories(events, vocabulary, event_types)

    says = _Says(vocabulary, event_types)
    types = event_type_rows_of(events, vocabulary)
    positive = says.positive[types]
    users, items = rows_of(events.user_ids, histories.user_rows), rows_of(events.item_ids, vocabulary.item_rows)
    parts = {
        "training": positive & fit,
        "validation": positive & ~fit & (times_us < cut_us),
        "holdout": positive & (times_us >= cut_us),
    }
    for name, chosen in parts.items():
        if not chosen.any():
            raise NotEnoughData(f"The {name} part of the log has no positive events; collect more before training.")
    if len(np.unique(users[fit])) < 2:
        raise NotEnoughData("The training part of the log has events of one user only; a model needs at least two.")
    if len(vocabulary.item_ids) < 2:
        raise NotEnoughData(
            f"The training part of the log has fewer than two items with {min_item_events} or more events; "
            "collect more, or lower NIGHTJAR_TRAIN__MIN_ITEM_EVENTS."
        )

    def moments(chosen: npt.NDArray[np.bool_]) -> Moments:
        return Moments(users[chosen], times_us[chosen], items[chosen])

    counted = times_us < cut_us
    popularity = np.bincount(items[counted], says.weights[types[counted]], minlength=len(vocabulary.item_ids) + 1)
    return Dataset(
        vocabulary=vocabulary,
        sequences=_training_sequences(histories, fit_end_us, says),
        popularity=popularity[1:].astype(np.float32),
        validation=moments(parts["validation"]),
        holdout=moments(parts["holdout"]),
        histories=histories,
        fit_end_us=fit_end_us,
        cut_us=cut_us,
    )


def _start_of_last(times_us: Rows, fraction: float) -> int:
    """The moment from which the last `fraction` of the events happened; all events of that moment belong to it."""
    num_last = max(1, int(len(times_us) * fraction))
    return int(times_us[len(times_us) - num_last])


def _vocabulary(
    item_ids: Iterable[ItemId], types: Iterable[str], event_types: EventTypes, min_item_events: int
) -> Vocabulary:
    """Items with enough events that enter a history, sorted by id so that rows do not depend on the log's layout."""
    entering = input_types(event_types)
    known = frozenset(kind.name for kind in entering)
    counts = Counter(item_id for item_id, name in zip(item_ids, types, strict=True) if name in known)
    return Vocabulary(tuple(sorted(item for item, count in counts.items() if count >= min_item_events)), entering)


class _Says:
    """What the events of each event-type row say; row 0, outside of the model's input, says nothing."""

    def __init__(self, vocabulary: Vocabulary, event_types: EventTypes) -> None:
        declared = {kind.name: kind for kind in event_types.declared}
        judgements = [declared[kind.name].judged(role) for kind, role in vocabulary.judged_types]
        self.positive = np.array([False, *(each.role is Role.POSITIVE for each in judgements)])
        self.weights = np.array([0.0, *(each.weight for each in judgements)], np.float32)


def _training_sequences(histories: Histories, end_us: int, says: _Says) -> TrainingSequences:
    items, types, times_us, starts = histories.sequences_before(end_us)
    asked, wanted = _targets(times_us, says.positive[types], starts)
    return TrainingSequences(items, types, starts, asked, items[wanted], says.weights[types[wanted]])


def _targets(times_us: Rows, positive: npt.NDArray[np.bool_], starts: Rows) -> tuple[Rows, Rows]:
    """Where each positive event is asked for: (asked, wanted), positions int64 (num_targets,), asked ascending.

    Every one is asked for at its user's last event strictly before its moment: exactly what evaluation and serving know
    of the user then (law 8), so a user's first moment is not asked for there. Augmentation: a positive event that has
    its moment in common with the event before it is asked for after that one as well, an example of which items go
    together. It knows nothing later than its moment and is never measured on; ADR 0008 says why it is no leak.
    """
    positions = np.arange(len(times_us))
    user_starts = np.repeat(starts[:-1], np.diff(starts))
    begins = (positions == user_starts) | np.diff(times_us, prepend=-1).astype(bool)
    moment_starts = np.maximum.accumulate(np.where(begins, positions, 0))
    later, tied = positive & (moment_starts > user_starts), positive & ~begins
    asked = np.concatenate((moment_starts[later] - 1, positions[tied] - 1))
    wanted = np.concatenate((positions[later], positions[tied]))
    order = np.argsort(asked, kind="stable")
    return asked[order], wanted[order]
