"""Puts a training run together: settings in, a job out."""

from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.delta_log import DeltaEventLog
from services.domain.clock import SystemClock
from services.registry.wiring import open_registry
from services.settings import Settings, TrainSettings
from services.training.code_version import code_version
from services.training.job import Recipe, Report, TrainingJob
from services.training.model import TrainableModel
from services.training.popularity import Popularity
from services.training.sequence_encoder import EncoderOptions, SequenceEncoder


def build(settings: Settings, report: Report) -> TrainingJob:
    """The job on the log, the bundles and the registry that the settings name; raises CatalogDown."""
    return TrainingJob(
        events=DeltaEventLog(settings.log_folder),
        bundles=FolderBundleStore(settings.bundle_folder),
        registry=open_registry(settings),
        clock=SystemClock(),
        recipe=recipe(settings),
        report=report,
    )


def recipe(settings: Settings) -> Recipe:
    train = settings.train
    return Recipe(
        model=lambda: make_model(train),
        event_types=settings.declared_event_types(),
        max_history=train.max_history,
        holdout_fraction=train.holdout_fraction,
        validation_fraction=train.validation_fraction,
        min_item_events=train.min_item_events,
        seed=train.seed,
        code_version=code_version(),
        configuration={
            "train": train.model_dump(mode="json"),
            "event_types": [kind.model_dump(mode="json") for kind in settings.event_types],
        },
    )


def make_model(train: TrainSettings) -> TrainableModel:
    """The kind that the settings name, not fitted yet."""
    if train.kind == "popularity":
        return Popularity()
    return SequenceEncoder(EncoderOptions(**{name: getattr(train, name) for name in EncoderOptions.__slots__}))
