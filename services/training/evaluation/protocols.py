"""The protocols of published tables, each a way to cut a data set: what is learned from, and what is asked.

P1, next item: a user's last item is the test, the one before it the validation, the rest is learned from. Figures are
means over users, with the user's own history masked; a repeated item is a miss.
P2, a split that comes with the data, without validation: the model sees a user's whole training set and ranks what is
not in it. Where a kind needs validation, a tenth of each user's training items is kept from the parameters for it.
P3, by time: the last days are the test. Users and items that are new in them are dropped, as are pairs seen before.

The sets of papers say only that something was chosen: every event is of one type, positive, and chosen once.
"""

from dataclasses import dataclass, replace
from enum import StrEnum
from typing import Final

import numpy as np

from services.domain.errors import NotEnoughData
from services.domain.evaluation_data import EvaluationData
from services.domain.event_columns import EventColumns, Words
from services.domain.event_types import EventType, EventTypes, Role
from services.features.history import Rows
from services.training.data.assembly import Part, Split, assemble
from services.training.data.by_time import split_at
from services.training.data.dataset import Dataset, Moments
from services.training.evaluation.ranking import Repeats

CHOSEN: Final = "chosen"
EVENT_TYPES: Final = EventTypes([EventType(CHOSEN, Role.POSITIVE, 1.0, consumes=True)])
SECOND_US: Final = 1_000_000
DAY_S: Final = 86_400
MIN_EVENTS: Final = 3  # of a user who is asked about in P1: one to learn from, one to choose by, one to measure
VALIDATION_SHARE: Final = 10  # one in so many of a user's training items, where P2 has to validate


class Protocol(StrEnum):
    NEXT_ITEM = "P1"
    GIVEN_SPLIT = "P2"
    BY_TIME = "P3"


@dataclass(frozen=True)
class Task:
    """A data set, cut: what a model is fitted to, and how its answers are judged."""

    dataset: Dataset
    repeats: Repeats


def cut(data: EvaluationData, protocol: Protocol, *, validates: bool, test_days: int = 7, seed: int = 0) -> Task:
    """Cuts a data set as a protocol says; raises NotEnoughData when a part is left without events.

    validates: whether the kind looks at the validation part; for one that does not, it is learned from as well, but
    in P1, whose figures are of models that never saw it.
    """
    if protocol is Protocol.NEXT_ITEM:
        task = _next_item(data)
    elif protocol is Protocol.GIVEN_SPLIT:
        task = _given_split(data, seed, validates=validates)
    else:
        task = _by_time(data, test_days, validates=validates)
    if not len(task.dataset.holdout):
        raise NotEnoughData(f"{protocol} finds nothing to ask in this data; it needs more events, or another protocol.")
    return task


def _next_item(data: EvaluationData) -> Task:
    places, sizes = _places(data.users)
    from_end, asked = sizes - places, sizes >= MIN_EVENTS
    parts = np.select([asked & (from_end == 1), asked & (from_end == 2)], [Part.HOLDOUT, Part.VALIDATION], Part.FIT)
    events = _columns(data, np.arange(len(data)), _moments_in_order_us(data))
    split = Split(parts.astype(np.int8), events.event_times_us)
    return Task(assemble(events, EVENT_TYPES, split, data.features, item_parts=Part.VALIDATION), Repeats.MISSED)


def _given_split(data: EvaluationData, seed: int, *, validates: bool) -> Task:
    if data.is_test is None:
        raise NotEnoughData("P2 needs a split that comes with the data: a column `split` with the value test.")
    parts = np.where(data.is_test, Part.HOLDOUT, Part.FIT).astype(np.int8)
    if validates:
        places, _ = _places(data.users)
        kept = np.random.default_rng(seed).integers(VALIDATION_SHARE, size=len(data)) == 0
        parts[kept & ~data.is_test & (places > 0)] = Part.VALIDATION
    # A user's parts one after the other, so that a part is asked for when all before it is known.
    order = np.lexsort((np.arange(len(data)), parts, data.users.codes))
    parts, users = parts[order], data.users.codes[order]
    times_us = np.arange(len(order)) * SECOND_US
    part_begins = (np.diff(parts, prepend=-1) != 0) | (np.diff(users, prepend=-1) != 0)
    asked_at_us = np.maximum.accumulate(np.where(part_begins, times_us, 0))
    events = _columns(data, order, times_us)
    dataset = assemble(events, EVENT_TYPES, Split(parts, asked_at_us), data.features, item_parts=Part.VALIDATION)
    return Task(replace(dataset, holdout=_once(dataset.holdout)), Repeats.SKIPPED)


def _by_time(data: EvaluationData, test_days: int, *, validates: bool) -> Task:
    if not data.has_times:
        raise NotEnoughData("P3 cuts by time, but the timestamps of this data are places in a history.")
    end_s = int(data.times_s.max()) + 1
    return at_time(data, end_s - test_days * DAY_S, end_s, validation_days=test_days, validates=validates)


def at_time(data: EvaluationData, cut_s: int, end_s: int, *, validation_days: float, validates: bool) -> Task:
    """What was known at a moment, and what users who were known chose from then to the end that was new to them."""
    events = events_before(data, end_s)
    times_us = events.event_times_us
    fit_end_us = int((cut_s - validation_days * DAY_S) * SECOND_US)
    split = split_at(times_us, fit_end_us, cut_s * SECOND_US)
    if not validates:
        split = replace(split, parts=np.where(split.parts == Part.VALIDATION, Part.FIT, split.parts))
    # One question a user for the whole part: nobody knows more at its end than at its start.
    begins_us = np.array([0, fit_end_us, cut_s * SECOND_US])
    split = replace(split, asked_at_us=np.maximum(begins_us[split.parts], 0))
    dataset = assemble(events, EVENT_TYPES, split, data.features, item_parts=Part.VALIDATION)
    return Task(
        replace(dataset, validation=_known(dataset, dataset.validation), holdout=_known(dataset, dataset.holdout)),
        Repeats.SKIPPED,
    )


def events_before(data: EvaluationData, end_s: int) -> EventColumns:
    """What happened before a moment, user after user and by time. The rows of users are the same for any moment."""
    order = np.flatnonzero(data.times_s < end_s)
    order = order[np.lexsort((order, data.times_s[order], data.users.codes[order]))]
    return _columns(data, order, data.times_s[order] * SECOND_US)


def _known(dataset: Dataset, moments: Moments) -> Moments:
    """Each pair once, of users and items that were known."""
    moments = _once(moments.chosen(moments.targets > 0))
    pairs = zip(moments.user_rows.tolist(), moments.times_us.tolist(), strict=True)
    knows = [len(dataset.histories.as_of(user, time_us, 1).items) > 0 for user, time_us in pairs]
    return moments.chosen(np.array(knows, np.bool_))


def _once(moments: Moments) -> Moments:
    """The first of the moments of each user and item; items without a row are all different."""
    is_known = moments.targets > 0
    keys = np.where(is_known, moments.targets, -np.arange(len(moments)) - 1)
    _, first = np.unique(np.stack((moments.user_rows, keys)), axis=1, return_index=True)
    return moments.chosen(np.sort(first))


def _columns(data: EvaluationData, order: Rows, times_us: Rows) -> EventColumns:
    """The events in another order, at these times."""
    return EventColumns(
        users=Words(data.users.codes[order], data.users.words),
        items=Words(data.items.codes[order], data.items.words),
        event_types=Words(np.zeros(len(order), np.int32), (CHOSEN,)),
        event_times_us=times_us,
        values=np.full(len(order), np.nan),
    )


def _places(users: Words) -> tuple[Rows, Rows]:
    """Of each event its place in its user's history, from 0, and that history's length; both int64 (num_events,)."""
    sizes = np.bincount(users.codes, minlength=len(users.words))
    starts = np.concatenate(([0], np.cumsum(sizes)[:-1]))
    return np.arange(len(users)) - starts[users.codes], sizes[users.codes]


def _moments_in_order_us(data: EvaluationData) -> Rows:
    """Times that keep the stored order: a tie, or a time before that of the event before, is a microsecond later."""
    codes = data.users.codes.astype(np.int64)
    span = int(data.times_s.max()) + 1
    latest_s = np.maximum.accumulate(data.times_s + codes * span) - codes * span
    places, _ = _places(data.users)
    return latest_s * SECOND_US + places
