"""From the columns of the log and a split of them to a dataset: numbers the items, cuts the parts, asks the targets."""

from collections.abc import Iterable, Iterator, Mapping
from collections.abc import Set as AbstractSet
from dataclasses import dataclass, field
from enum import IntEnum

import numpy as np
import numpy.typing as npt

from services.domain.errors import NotEnoughData
from services.domain.event_columns import EventColumns
from services.domain.event_types import EventTypes, Role
from services.domain.ids import ItemId
from services.domain.vocabulary import Vocabulary, input_types
from services.features.history import Histories, ItemRows, Rows, event_type_rows_of
from services.training.data.content import ItemContent, TextVectors
from services.training.data.dataset import SORTED_EVENTS, CountedEvents, Dataset, Moments, TrainingSequences

Flags = npt.NDArray[np.bool_]
Positions = npt.NDArray[np.int32]


class Part(IntEnum):
    """What an event is for."""

    FIT = 0
    VALIDATION = 1
    HOLDOUT = 2


@dataclass(frozen=True)
class Split:
    """Which part each event belongs to."""

    parts: npt.NDArray[np.int8]
    """(num_events,) values of Part, in the columns' order."""
    asked_at_us: Rows
    """(num_events,) when each is asked for, if it is: at its own moment or earlier."""
    bounds_us: Mapping[str, int] = field(default_factory=dict)
    """Where the parts end, if they do so for all users alike."""


def assemble(
    events: EventColumns,
    event_types: EventTypes,
    split: Split,
    features_of: Mapping[ItemId, Iterable[str]],
    *,
    min_item_events: int = 1,
    item_parts: Part = Part.FIT,
    with_new_items: bool = False,
    text_vectors: TextVectors | None = None,
) -> Dataset:
    """Numbers the items and cuts the parts; raises NotEnoughData with what is missing.

    features_of: what the catalog says of items. item_parts: the last part whose items get a row. with_new_items: those
    of which only the catalog speaks get one, too.
    """
    fit = split.parts == Part.FIT
    if not fit.any():
        raise NotEnoughData("There are no events to learn from before the held-out ones; collect more before training.")
    known = _known_items(events, split.parts <= item_parts, event_types, min_item_events)
    vocabulary = _vocabulary(known | (features_of.keys() if with_new_items else set()), event_types)
    histories = Histories(events, vocabulary, event_types)
    says = _Says(vocabulary, event_types)
    types = event_type_rows_of(events, vocabulary)
    positive = says.positive[types]
    items = events.items.rows(vocabulary.item_rows)
    if not (positive & fit).any():
        raise NotEnoughData("The training part of the log has no positive events; collect more before training.")
    if np.count_nonzero(np.bincount(events.users.codes[fit])) < 2:
        raise NotEnoughData("The training part of the log has events of one user only; a model needs at least two.")
    if len(known) < 2:
        raise NotEnoughData(
            f"The training part of the log has fewer than two items with {min_item_events} or more events; "
            "collect more, or lower NIGHTJAR_TRAIN__MIN_ITEM_EVENTS."
        )

    def moments(part: Part) -> Moments:
        chosen = positive & (split.parts == part)
        columns = (events.users.codes[chosen], split.asked_at_us[chosen], items[chosen], types[chosen])
        return Moments(*(column.astype(np.int64) for column in columns))

    content = ItemContent.of(vocabulary.item_ids, features_of)
    counted = np.flatnonzero((split.parts < Part.HOLDOUT) & (items > 0))
    counted_events = CountedEvents(
        events.users.codes[counted], items[counted], says.weights[types[counted]], events.event_times_us[counted]
    )
    return Dataset(
        vocabulary=vocabulary,
        content=content if text_vectors is None else content.with_texts(vocabulary.item_ids, text_vectors),
        sequences=_training_sequences(histories, fit, says),
        counted=counted_events,
        popularity=counted_events.latest().by_item(len(vocabulary.item_ids)),
        validation=moments(Part.VALIDATION),
        holdout=moments(Part.HOLDOUT),
        histories=histories,
        with_validation=(
            (lambda: _training_sequences(histories, split.parts < Part.HOLDOUT, says)) if split.bounds_us else None
        ),
        bounds_us=split.bounds_us,
    )


def _known_items(
    events: EventColumns, counted: Flags, event_types: EventTypes, min_item_events: int
) -> AbstractSet[ItemId]:
    """Items with enough events that enter a history."""
    enters = events.event_types.rows({kind.name: 1 for kind in input_types(event_types)}) > 0
    counts = np.bincount(events.items.codes[counted & enters], minlength=len(events.items.words))
    return {ItemId(events.items.words[code]) for code in np.flatnonzero(counts >= max(1, min_item_events)).tolist()}


def _vocabulary(item_ids: Iterable[ItemId], event_types: EventTypes) -> Vocabulary:
    """In the order of ids, whatever the log's layout: shorter ones first, which is the order of numbers.

    It also says who of equally popular items comes first.
    """
    return Vocabulary(tuple(sorted(item_ids, key=lambda item_id: (len(item_id), item_id))), input_types(event_types))


class _Says:
    """What the events of each event-type row say; row 0, outside of the model's input, says nothing."""

    def __init__(self, vocabulary: Vocabulary, event_types: EventTypes) -> None:
        declared = {kind.name: kind for kind in event_types.declared}
        judgements = [declared[kind.name].judged(role) for kind, role in vocabulary.judged_types]
        self.positive = np.array([False, *(each.role is Role.POSITIVE for each in judgements)])
        self.weights = np.array([0.0, *(each.weight for each in judgements)], np.float32)
        self.consumes = np.array([False, *(declared[kind.name].consumes for kind, _ in vocabulary.judged_types)])


def _training_sequences(histories: Histories, fit: Flags, says: _Says) -> TrainingSequences:
    items, types, times_us, starts = histories.sequences(fit)
    repeated = repeats(items, times_us, says.consumes[types], starts)
    asked, wanted = targets(times_us, says.positive[types] & ~repeated, starts)
    return TrainingSequences(items, types, times_us, says.weights[types], starts, asked, wanted)


def repeats(items: ItemRows, times_us: Rows, consumes: Flags, starts: Rows) -> Flags:
    """Which events are of an item that their user was done with at an earlier moment, (num_events,).

    Such an item is masked in serving and in evaluation, so to foretell it is to learn what is never asked.
    """
    repeated = np.zeros(len(items), np.bool_)
    if not consumes.any():
        return repeated
    for first, last in _user_blocks(starts):
        part = slice(int(starts[first]), int(starts[last]))
        users = np.repeat(np.arange(first, last), np.diff(starts[first : last + 1]))
        keys = users << 32 | items[part]
        order = np.argsort(keys, kind="stable")  # within a key by time
        begins = np.flatnonzero(np.diff(keys[order], prepend=-1))
        done_us = np.where(consumes[part], times_us[part], np.iinfo(np.int64).max)[order]
        first_done_us = np.repeat(np.minimum.reduceat(done_us, begins), np.diff(np.append(begins, len(order))))
        repeated[part.start + order] = times_us[part][order] > first_done_us
    return repeated


def _user_blocks(starts: Rows) -> Iterator[tuple[int, int]]:
    """Neighbouring users with some SORTED_EVENTS events together, as (first, one after the last); none without any."""
    first = 0
    while first < len(starts) - 1:
        last = int(np.searchsorted(starts, starts[first] + SORTED_EVENTS, side="right")) - 1
        last = max(last, first + 1)
        if starts[last] > starts[first]:
            yield first, last
        first = last


def targets(times_us: Rows, positive: Flags, starts: Rows) -> tuple[Positions, Positions]:
    """Where each positive event is asked for: (asked, wanted), positions int32 (num_targets,), asked ascending.

    Every one is asked for at its user's last event strictly before its moment: exactly what evaluation and serving know
    of the user then (law 8), so a user's first moment is not asked for there. Augmentation: the last positive event of
    a moment is asked for after the events that it has its moment in common with as well, an example of which items go
    together. One for each moment, since all the others of a large basket would outweigh what is chosen next. It knows
    nothing later than its moment and is never measured on; ADR 0008 says why it is no leak.
    """
    positions = np.arange(len(times_us), dtype=np.int32)
    user_starts = np.repeat(starts[:-1].astype(np.int32), np.diff(starts))
    begins = np.ones(len(times_us), np.bool_)
    begins[1:] = times_us[1:] != times_us[:-1]
    begins |= positions == user_starts
    moment_starts = np.maximum.accumulate(np.where(begins, positions, 0))
    later: Positions = positions[positive & (moment_starts > user_starts)]
    tied: Positions = positions[positive & ~begins]
    is_last = np.ones(len(tied), np.bool_)
    is_last[:-1] = np.diff(moment_starts[tied]) != 0
    tied = tied[is_last]
    asked = np.concatenate((moment_starts[later] - 1, tied - 1))
    wanted = np.concatenate((later, tied))
    if not len(tied):  # asked in order already, and sorting is slow
        return asked, wanted
    order = np.argsort(asked, kind="stable")
    return asked[order], wanted[order]
