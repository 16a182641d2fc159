"""Puts a worker of a search together: settings in, a search out."""

import os
import platform
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from services.adapters.delta_log import DeltaEventLog
from services.adapters.sql.engine import connect
from services.adapters.sql.item_catalog import SqlItemCatalog
from services.adapters.sql.migrate import upgrade
from services.adapters.sql.tuning_trials import SqlTuningTrials
from services.adapters.sql.user_directory import SqlUserDirectory
from services.domain.clock import SystemClock
from services.domain.errors import InvalidRequest
from services.domain.ports import EventLog, ItemSource, TuningTrials
from services.domain.tuning import Study, Trial, TunedSettings
from services.domain.users import Erasure
from services.patience import Patience
from services.settings import Settings
from services.training.configured import configured_model
from services.training.data.catalog import CatalogContent
from services.training.data.dataset import Dataset
from services.training.data.forgotten import without_forgotten
from services.training.data.texts import vectors_of
from services.training.model import TrainableModel
from services.training.tuning.data import before_the_holdout, ends
from services.training.tuning.present import fixed_settings, model_of, present_settings
from services.training.tuning.search import Report, Search
from services.training.tuning.space import SPACES
from services.training.tuning.study import opened
from services.training.tuning.trying import Trying
from services.training.wiring import text_encoder

LEAST_LIMIT_S: Final = 600.0  # larger: a dead worker is noticed late; smaller: reading and measuring alone take longer


@dataclass(frozen=True, slots=True)
class Asked:
    """What the command line says."""

    study: str = ""
    """Empty: the kind's name."""
    data_version: int | None = None
    """Of the log; None: the newest."""


def build(settings: Settings, asked: Asked, report: Report) -> Search:
    """Reads the log, begins or resumes the study; raises InvalidRequest, NotEnoughData, CatalogDown, UnknownVersion."""
    train, clock = settings.train, SystemClock()
    if train.kind not in SPACES:
        raise InvalidRequest("--kind", f"{train.kind} has nothing to search; choose one of {', '.join(SPACES)}.")
    report({"event": "stage", "name": "read"})
    upgrade(settings.database_url)
    database = connect(settings.database_url)
    trials = PatientTrials(SqlTuningTrials(database, clock), Patience(clock, _sleep))
    data = _Data(settings, DeltaEventLog(settings.log_folder), SqlUserDirectory(database, clock).erasures())
    study = opened(trials, data.wanted(asked, clock.now()), data.ends)
    trying = Trying(data.of(study, SqlItemCatalog(database)), data.model, train.max_history)
    return Search(
        trials=trials,
        study=study,
        space=SPACES[train.kind],
        present=present_settings(train),
        ndcg_of=trying.ndcg,
        clock=clock,
        limit=timedelta(seconds=max(2 * train.max_seconds, LEAST_LIMIT_S)),
        worker=f"{platform.node()}:{os.getpid()}",
        report=report,
    )


@dataclass(frozen=True)
class _Data:
    """What of the log belongs to a study."""

    settings: Settings
    events: EventLog
    wishes: Sequence[Erasure]

    def wanted(self, asked: Asked, now: datetime) -> Study:
        """A study of now, its ends still open."""
        train, event_types = self.settings.train, self.settings.event_types
        fixed = {**fixed_settings(train), "event_types": [each.model_dump(mode="json") for each in event_types]}
        version = self.events.version() if asked.data_version is None else asked.data_version
        return Study(asked.study or train.kind, train.kind, train.seed, version, 0, 0, fixed, now)

    def ends(self, version: int) -> tuple[int, int]:
        """Looks at nothing but when things happened."""
        times_us = without_forgotten(self.events.read(version), self.wishes).event_times_us
        return ends(times_us, self.settings.train.holdout_fraction, self.settings.train.validation_fraction)

    def of(self, study: Study, items: ItemSource) -> Dataset:
        knows_content = self.model(present_settings(self.settings.train)).capabilities.new_items
        content = CatalogContent.of(items)
        return before_the_holdout(
            without_forgotten(self.events.read(study.data_version, study.cut_us), self.wishes),
            self.settings.declared_event_types(),
            study.fit_end_us,
            study.cut_us,
            min_item_events=self.settings.train.min_item_events,
            features_of=content.features if knows_content else {},
            with_new_items=knows_content,
            text_vectors=vectors_of(content.texts, text_encoder(self.settings) if knows_content else None),
        )

    def model(self, tried: TunedSettings) -> TrainableModel:
        return model_of(self.settings.train, tried, configured_model)


@dataclass(frozen=True)
class PatientTrials:
    """Fulfils TuningTrials even when the database is away for some minutes."""

    trials: TuningTrials
    patience: Patience

    def study(self, name: str) -> Study | None:
        return self.patience.outlast(lambda: self.trials.study(name))

    def open(self, study: Study) -> Study:
        return self.patience.outlast(lambda: self.trials.open(study))

    def all(self, study: str) -> Sequence[Trial]:
        return self.patience.outlast(lambda: self.trials.all(study))

    def begin(self, trial: Trial) -> bool:
        return self.patience.outlast(lambda: self.trials.begin(trial))

    def finish(self, trial: Trial) -> bool:
        return self.patience.outlast(lambda: self.trials.finish(trial))


def _sleep(seconds: float) -> bool:
    time.sleep(seconds)  # SIGTERM ends this process from within
    return False
