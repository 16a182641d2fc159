"""The nightly split: by time alone.

    | fit ................................ | validation ... | holdout ... |   time ->
                                           ^ fit_end_us     ^ cut_us

Parameters learn from `fit`; `validation` says when to stop; nothing from `cut_us` on is seen before the model is
frozen. Events of one moment never straddle an end, so a part may hold a few more events than its share.
"""

from collections.abc import Iterable, Mapping

import numpy as np

from services.domain.errors import NotEnoughData
from services.domain.event_columns import EventColumns
from services.domain.event_types import EventTypes
from services.domain.ids import ItemId
from services.features.history import Rows
from services.training.data.assembly import Part, Split, assemble
from services.training.data.content import TextVectors
from services.training.data.dataset import Dataset

NO_FEATURES: Mapping[ItemId, Iterable[str]] = {}


def build_dataset(
    events: EventColumns,
    event_types: EventTypes,
    *,
    holdout_fraction: float,
    validation_fraction: float,
    min_item_events: int,
    features_of: Mapping[ItemId, Iterable[str]] = NO_FEATURES,
    with_new_items: bool = False,
    text_vectors: TextVectors | None = None,
    least_cut_us: int | None = None,
) -> Dataset:
    """Splits by time and numbers the items; raises NotEnoughData with what is missing.

    Fractions are shares of the events in time order; that of validation is of what the holdout leaves. least_cut_us:
    the holdout does not begin before this moment.
    """
    times_us = events.event_times_us
    if len(times_us) == 0:
        raise NotEnoughData("The log holds no events in this range; send some, or choose a later --as-of.")
    fit_end_us, cut_us = ends(times_us, holdout_fraction, validation_fraction, least_cut_us)
    dataset = assemble(
        events,
        event_types,
        split_at(times_us, fit_end_us, cut_us),
        features_of,
        min_item_events=min_item_events,
        with_new_items=with_new_items,
        text_vectors=text_vectors,
    )
    for name, moments in {"validation": dataset.validation, "holdout": dataset.holdout}.items():
        if not len(moments):
            raise NotEnoughData(f"The {name} part of the log has no positive events; collect more before training.")
    return dataset


def ends(
    times_us: Rows, holdout_fraction: float, validation_fraction: float, least_cut_us: int | None = None
) -> tuple[int, int]:
    """(fit_end_us, cut_us) of events in time order, at least one; the same where nothing is left before the holdout."""
    cut_us = _start_of_last(times_us, holdout_fraction)
    cut_us = cut_us if least_cut_us is None else max(cut_us, least_cut_us)
    before = times_us[times_us < cut_us]
    return (_start_of_last(before, validation_fraction) if len(before) else cut_us), cut_us


def split_at(times_us: Rows, fit_end_us: int, cut_us: int) -> Split:
    """What happened before fit_end_us is to learn from, and what happened from cut_us on is held out."""
    parts = np.select([times_us < fit_end_us, times_us < cut_us], [Part.FIT, Part.VALIDATION], Part.HOLDOUT)
    return Split(parts.astype(np.int8), times_us, bounds_us={"fit_end_us": fit_end_us, "cut_us": cut_us})


def _start_of_last(times_us: Rows, fraction: float) -> int:
    """The moment from which the last `fraction` of the events happened; all events of that moment belong to it."""
    num_last = max(1, int(len(times_us) * fraction))
    return int(times_us[len(times_us) - num_last])
