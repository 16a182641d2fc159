"""What a trial sees: the log before the holdout, and nothing of the holdout."""

from collections.abc import Iterable, Mapping

from services.domain.errors import NotEnoughData
from services.domain.event_columns import EventColumns
from services.domain.event_types import EventTypes
from services.domain.ids import ItemId
from services.features.history import Rows
from services.training.data import by_time
from services.training.data.assembly import assemble
from services.training.data.by_time import NO_FEATURES, split_at
from services.training.data.content import TextVectors
from services.training.data.dataset import Dataset


def ends(times_us: Rows, holdout_fraction: float, validation_fraction: float) -> tuple[int, int]:
    """Those of the nightly split, from the times of all events; raises NotEnoughData when nothing is before them."""
    if len(times_us):
        fit_end_us, cut_us = by_time.ends(times_us, holdout_fraction, validation_fraction)
        if fit_end_us < cut_us:
            return fit_end_us, cut_us
    raise NotEnoughData("The log holds too few events to hold some of them out; collect more before searching.")


def before_the_holdout(
    events: EventColumns,
    event_types: EventTypes,
    fit_end_us: int,
    cut_us: int,
    *,
    min_item_events: int,
    features_of: Mapping[ItemId, Iterable[str]] = NO_FEATURES,
    with_new_items: bool = False,
    text_vectors: TextVectors | None = None,
) -> Dataset:
    """The nightly dataset, of events before cut_us alone: its holdout is empty. Raises NotEnoughData."""
    if len(events) and events.event_times_us[-1] >= cut_us:
        raise ValueError("a search must not be given what is held out")
    dataset = assemble(
        events,
        event_types,
        split_at(events.event_times_us, fit_end_us, cut_us),
        features_of,
        min_item_events=min_item_events,
        with_new_items=with_new_items,
        text_vectors=text_vectors,
    )
    if not len(dataset.validation):
        raise NotEnoughData("The validation part of the log has no positive events; collect more before searching.")
    return dataset
