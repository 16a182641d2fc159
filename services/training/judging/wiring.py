"""Puts a comparison together: settings and versions in, a comparison out."""

from collections.abc import Iterable

from services.settings import Settings
from services.training.data.by_time import build_dataset
from services.training.data.forgotten import without_forgotten
from services.training.judging.asked import Asked
from services.training.judging.judge import Comparison, Judge, Report
from services.training.judging.named import champion_of, published
from services.training.judging.version import Published, Tonight
from services.training.wiring import Stores, open_stores


def judge(settings: Settings, asked: Asked, report: Report) -> Comparison:
    """Blocks. A champion that is not there or broken is none, and the comparison says so.

    Raises UnknownVersion and BundleBroken for a challenger, and what `Judge.judge` does; and CatalogDown.
    """
    stores = open_stores(settings)
    report({"event": "stage", "name": "read"})
    challengers = [published(stores.registry, stores.bundles, version) for version in asked.challengers]
    champion, problem = champion_of(stores.registry, stores.bundles, asked.champion)
    versions = [*challengers, *([] if champion is None else [champion])]
    return Judge(_tonight(settings, stores, asked.data_version, versions), settings.train.seed, report).judge(
        challengers, champion, problem
    )


def _tonight(settings: Settings, stores: Stores, data_version: int, versions: Iterable[Published]) -> Tonight:
    """The events of the pinned log, cut where the versions that were trained on it were.

    Where they were, and not only by the same fraction: if somebody asked to be forgotten since, that fraction is less.
    Every item that a version knows has a row, so that none is denied a hit; of the catalog only they have spoken.
    """
    versions, train = list(versions), settings.train
    events = without_forgotten(stores.events.read(data_version), stores.erasures.erasures())
    event_types = settings.declared_event_types()
    cuts_us = [each.cut_us for each in versions if each.manifest.data_version == data_version]
    dataset = build_dataset(
        events,
        event_types,
        holdout_fraction=train.holdout_fraction,
        validation_fraction=train.validation_fraction,
        min_item_events=train.min_item_events,
        features_of={item_id: () for each in versions for item_id in each.vocabulary.item_ids},
        with_new_items=True,
        least_cut_us=max((cut_us for cut_us in cuts_us if cut_us is not None), default=None),
    )
    return Tonight(events, event_types, dataset)
