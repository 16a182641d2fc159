"""Puts a training run together: settings in, a job out."""

import time
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

from services.adapters.delta_log import DeltaEventLog
from services.adapters.kept_vectors import KeptTextEncoder
from services.adapters.sentence_encoder import OnnxSentenceEncoder
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.training_runs import SqlTrainingRuns
from services.adapters.sql.user_directory import SqlUserDirectory
from services.bundle_wiring import open_bundles
from services.domain.clock import SystemClock
from services.domain.errors import InvalidRequest
from services.domain.models import Model
from services.domain.ports import (
    BundleStore,
    ErasureSource,
    EventLog,
    ItemSource,
    ModelRegistrar,
    ModelRegistry,
    TextEncoder,
)
from services.patience import Patience
from services.registry.wiring import open_registry
from services.settings import Settings
from services.training import recording, repeating
from services.training.asked import Asked
from services.training.code_version import code_version, library_versions
from services.training.configured import configured_model
from services.training.job import Recipe, Report, TrainingJob
from services.training.start import Starting
from services.training.workers import Workers


@dataclass(frozen=True)
class Stores:
    """The log, the bundles and the catalog database that the settings name."""

    events: EventLog
    items: ItemSource
    erasures: ErasureSource
    bundles: BundleStore
    registry: ModelRegistry


def open_stores(settings: Settings) -> Stores:
    """Brings the database's tables up to date; raises CatalogDown."""
    with Workers.of_environment().in_turn():  # one of them brings the tables up to date, for all
        registry = open_registry(settings)
    database = connect(settings.database_url)
    return Stores(
        events=DeltaEventLog(settings.log_folder),
        items=SqlItemCatalog(database),
        erasures=SqlUserDirectory(database, SystemClock()),
        bundles=open_bundles(settings),
        registry=registry,
    )


def build(settings: Settings, report: Report, asked: Asked) -> TrainingJob:
    """The job on the stores that the settings name; raises CatalogDown."""
    clock, stores = SystemClock(), open_stores(settings)
    starting = Starting(
        newest=stores.registry.newest,
        bundles=stores.bundles,
        mode=settings.train.mode,
        full_every=timedelta(days=settings.train.full_every_days),
        origin=asked.origin,
    )
    if asked.repeats is not None:
        starting = repeating.start_of(stores.registry, asked.repeats, starting)
    return TrainingJob(
        events=stores.events,
        bundles=stores.bundles,
        items=stores.items,
        erasures=stores.erasures,
        registry=PatientRegistrar(stores.registry, Patience(clock, _sleep)),
        clock=clock,
        recipe=recipe(settings),
        report=report,
        starting=starting,
        text_encoder=text_encoder(settings),
        checkpoint=None if asked.repeats else checkpoint_file(settings.home_folder, asked.challenger),
        data_version=asked.data_version,
        origin=asked.origin,
    )


def as_it_was(settings: Settings, asked: Asked, *, any_code: bool) -> tuple[Settings, Asked]:
    """What a repetition trains with and on; the same as given where nothing is repeated.

    Raises UnknownVersion, InvalidRequest, see `repeating`, and CatalogDown.
    """
    if asked.repeats is None:
        return settings, asked
    model = open_registry(settings).get(asked.repeats)
    return repeating.settings_of(settings, model, any_code=any_code), repeating.asked_of(model, asked)


def look(settings: Settings, asked: Asked) -> None:
    """Raises what keeps a repetition from being done.

    That is UnknownVersion, of the log or of what it started from, BundleBroken for the bundle of that, EventLogDown, or
    CatalogDown.
    """
    job = build(settings, lambda _: None, asked)
    job.events.newest_time_us(job.events.version() if asked.data_version is None else asked.data_version)
    for earlier in job.starting.newest(1) if job.starting.mode == "incremental" else ():
        job.bundles.fetch(earlier.location)


def registered_already(settings: Settings, asked: Asked) -> Model | None:
    """What was registered with this origin, so that nobody trains it again; None when nothing was, or none is asked.

    Raises InvalidRequest when it was trained on another version of the log than is asked for, and CatalogDown.
    """
    known = open_registry(settings).by_origin(asked.origin) if asked.origin else None
    if known is not None and asked.data_version not in (None, known.data_version):
        raise InvalidRequest(
            "--origin", f"is that of {known.version}, which was trained on version {known.data_version} of the log"
        )
    return known


def checkpoint_file(home: Path, challenger: str) -> Path:
    """Each challenger's own, so that those of a night neither mix nor write over one another's."""
    return home / "run" / (f"challenger-{challenger}.safetensors" if challenger else "training.safetensors")


def recorded(settings: Settings, trigger: str, report: Report, train: Callable[[Report], Model]) -> Model:
    """Trains and keeps in the catalog database how that goes; in one process a run, the one that leads.

    Raises what `train` does, and CatalogDown when the database is away at the start; later it may be.
    """
    upgrade(settings.database_url)
    runs = SqlTrainingRuns(connect(settings.database_url))
    return recording.recorded(runs, SystemClock(), settings.train.kind, trigger, report, train)


def text_encoder(settings: Settings) -> TextEncoder | None:
    """The one that the settings name, which keeps its vectors from night to night; raises InvalidSettings."""
    if settings.train.sentence_encoder is None:
        return None
    return KeptTextEncoder(
        OnnxSentenceEncoder(settings.train.sentence_encoder), settings.home_folder / "run" / "texts.safetensors"
    )


def leads() -> bool:
    """False for a process that fits beside the one that publishes."""
    return Workers.of_environment().leads


@dataclass(frozen=True)
class PatientRegistrar:
    """Registers a trained model even when the database is away for some minutes just then."""

    registrar: ModelRegistrar
    patience: Patience

    def register(self, model: Model) -> None:
        self.patience.outlast(lambda: self.registrar.register(model))


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)  # SIGTERM ends this process from within
    return False


def recipe(settings: Settings) -> Recipe:
    train = settings.train
    return Recipe(
        model=lambda: configured_model(train),
        event_types=settings.declared_event_types(),
        max_history=train.max_history,
        holdout_fraction=train.holdout_fraction,
        validation_fraction=train.validation_fraction,
        min_item_events=train.min_item_events,
        seed=train.seed,
        code_version=code_version(),
        plan=train.plan,
        max_plan_loss=train.max_plan_loss,
        configuration={
            "train": train.model_dump(mode="json"),
            "event_types": [kind.model_dump(mode="json") for kind in settings.event_types],
            "libraries": library_versions(),
        },
    )
