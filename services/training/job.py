"""The training run: a pinned version of the log becomes a measured, published and registered model.

What was measured is what is published; parameters are not fitted to the holdout afterwards (ADR 0004).
"""

import hashlib
import json
import secrets
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, TypeAlias

import structlog
import torch

from services.domain.bundles import MANIFEST, Manifest, sha256_of
from services.domain.errors import TrainingFailed
from services.domain.event_types import EventTypes
from services.domain.ids import ItemId, ModelVersion
from services.domain.models import Model, Provenance
from services.domain.plans import PLAIN, PlanTable
from services.domain.ports import BundleStore, Clock, ErasureSource, EventLog, ItemSource, ModelRegistrar, TextEncoder
from services.domain.training_runs import seconds_left
from services.domain.users import Erasure
from services.training import checkpoint
from services.training.costs import Meter
from services.training.data.by_time import build_dataset
from services.training.data.catalog import CatalogContent
from services.training.data.dataset import Dataset
from services.training.data.forgotten import without_forgotten
from services.training.data.texts import vectors_of
from services.training.energy import ProcessorEnergy
from services.training.evaluation.holdout import Measurement, measured
from services.training.export import write_draft
from services.training.kinds.popularity import most_telling
from services.training.model import EpochReport, FitEnd, Resumable, TrainableModel
from services.training.plans.measuring import AsServed, Wanted, planned
from services.training.report.report import REPORT, write_report
from services.training.report.report import Run as RunReport
from services.training.served import Served
from services.training.start import Start, Starting
from services.training.workers import Workers

log = structlog.get_logger(__name__)

Report: TypeAlias = Callable[[Mapping[str, Any]], object]
"""Is told of every stage and epoch, as the JSON lines of `python -m services.training` show them."""


@dataclass(frozen=True)
class Recipe:
    """What is trained, and how; the run's outcome follows from it and the version of the log."""

    model: Callable[[], TrainableModel]
    event_types: EventTypes
    max_history: int
    holdout_fraction: float
    validation_fraction: float
    min_item_events: int
    seed: int
    code_version: str
    configuration: Mapping[str, Any]
    """The same in words, for the manifest."""
    plan: Wanted = "float32"
    """See `plans`; other than auto, it depends on no clock."""
    max_plan_loss: float = 0.01


@dataclass(frozen=True)
class _Fitted:
    model: TrainableModel
    dataset: Dataset
    data_version: int
    fit_end: FitEnd
    fit_s: float
    start: Start
    epochs: Sequence[EpochReport]
    titles: Mapping[ItemId, str]
    times: tuple[datetime, datetime]
    """Of the first and the last event."""
    meter: Meter


@dataclass(frozen=True)
class TrainingJob:
    events: EventLog
    items: ItemSource
    erasures: ErasureSource
    bundles: BundleStore
    registry: ModelRegistrar
    clock: Clock
    recipe: Recipe
    report: Report
    starting: Starting
    text_encoder: TextEncoder | None = None
    """Reads titles and descriptions, for a kind that knows content; None: their words alone count."""
    checkpoint: Path | None = None
    """Where a run keeps how far it is, for one that is killed; None: nowhere."""
    data_version: int | None = None
    """The version of the log to train on; None: the newest."""
    origin: str = ""
    """Whose work it is, for manifest and registry, so that it can be found again."""

    def run(self, until_us: int | None = None) -> Model:
        """Trains on the events before `until_us`, or on all; blocks, and returns what was registered.

        Raises NotEnoughData, TrainingFailed and UnknownVersion (of the log); then nothing was published. Also raises
        CatalogDown, and then a published bundle may be left that nobody knows of: harmless, since only registered
        versions serve.
        """
        fitted = self._fitted(until_us)
        registered = self._registered(fitted, until_us)
        if self.checkpoint is not None:
            checkpoint.remove(self.checkpoint)
        return registered

    def assist(self, until_us: int | None = None) -> None:
        """What a worker beside the leader does of a run, see `workers`: it fits, and leaves the rest to the leader."""
        self._fitted(until_us)

    def _fitted(self, until_us: int | None) -> "_Fitted":
        recipe, workers = self.recipe, Workers.of_environment()
        meter = Meter(has_gpu=torch.cuda.is_available(), energy_j=ProcessorEnergy().joules)
        self._stage(meter, "read")
        data_version = workers.agree(self.events.version() if self.data_version is None else self.data_version)
        model = recipe.model()
        knows_content = model.capabilities.new_items
        begin_time = self.clock.now()  # before the wishes, which are known as of then
        wishes = self.erasures.erasures()
        content = CatalogContent.of(self.items)
        dataset, times = self._dataset(data_version, until_us, wishes, content, knows_content=knows_content)
        workers.must_share("data", dataset.fingerprint() if workers.size > 1 else "")
        start = self.starting.begin(model, dataset, wishes, begin_time)
        self._stage(meter, "fit", num_events=len(dataset.sequences.items), num_items=dataset.num_items, mode=start.mode)
        if self.checkpoint is not None and isinstance(model, Resumable):
            model.resume(self.checkpoint, self._key(dataset, start))
        started = time.monotonic()
        epochs: list[EpochReport] = []

        def epoch(report: EpochReport) -> None:
            epochs.append(report)
            meter.look()
            self._epoch(report)

        fit_end = model.fit(dataset, epoch)
        fit_s = time.monotonic() - started
        meter.end()
        meter.join(workers.gather(meter.costs))
        return _Fitted(model, dataset, data_version, fit_end, fit_s, start, epochs, content.titles, times, meter)

    def _dataset(
        self,
        data_version: int,
        until_us: int | None,
        wishes: Sequence[Erasure],
        content: CatalogContent,
        *,
        knows_content: bool,
    ) -> tuple[Dataset, tuple[datetime, datetime]]:
        """And when its first and its last event happened; the log's columns are gone when this returns."""
        recipe = self.recipe
        events = without_forgotten(self.events.read(data_version, until_us), wishes)
        dataset = build_dataset(
            events,
            recipe.event_types,
            holdout_fraction=recipe.holdout_fraction,
            validation_fraction=recipe.validation_fraction,
            min_item_events=recipe.min_item_events,
            features_of=content.features if knows_content else {},
            with_new_items=knows_content,
            text_vectors=vectors_of(content.texts, self.text_encoder if knows_content else None),
        )
        first_us, last_us = events.event_times_us[[0, -1]].tolist()  # in order of time
        return dataset, (moment(first_us), moment(last_us))

    def _registered(self, fitted: "_Fitted", until_us: int | None) -> Model:
        model, dataset, recipe = fitted.model, fitted.dataset, self.recipe
        self._stage(fitted.meter, "evaluate", num_events=len(dataset.holdout))
        measurement = measured(model, dataset, recipe.max_history, recipe.seed)
        location, manifest = self._publish(fitted, measurement, until_us)
        fitted.meter.end()
        return self._register(location, manifest, fitted)

    def _key(self, dataset: Dataset, start: Start) -> str:
        """What a checkpoint must be of to go on from it: the same data, start, settings and code."""
        settings = json.dumps(
            [self.recipe.configuration, self.recipe.code_version, start.started_from], sort_keys=True, default=str
        )
        return f"{dataset.fingerprint()}-{hashlib.sha256(settings.encode()).hexdigest()[:16]}"

    def _publish(self, fitted: "_Fitted", measurement: Measurement, until_us: int | None) -> tuple[str, Manifest]:
        """Where the bundle is, and what its manifest says; the figures are those of the plan that is published."""
        model, dataset = fitted.model, fitted.dataset
        try:
            with tempfile.TemporaryDirectory(prefix="nightjar-draft-") as name:
                folder = Path(name)
                self._stage(fitted.meter, "export")
                write_draft(folder, model, dataset.vocabulary, most_telling(dataset), self.recipe.max_history)
                self._stage(fitted.meter, "plan")
                plans = self._planned(folder, fitted)
                if plans is not None and plans.chosen != PLAIN:
                    served = Served(folder, model.kind, model.dim, dataset.vocabulary)
                    measurement = measured(AsServed(served), dataset, self.recipe.max_history, self.recipe.seed)
                manifest = self._manifest(fitted, {**measurement.figures, "fit_s": fitted.fit_s}, until_us, plans)
                write_report(folder / REPORT, self._told(fitted, measurement, manifest))
                self._stage(fitted.meter, "publish")
                return self.bundles.publish(folder, manifest), manifest
        except OSError as error:
            raise TrainingFailed(
                f"The model cannot be saved ({error}); make room on the disk of the bundles and on that of "
                f"{tempfile.gettempdir()}, and train again; it goes on from the last checkpoint where there is one."
            ) from error

    def _planned(self, folder: Path, fitted: "_Fitted") -> PlanTable | None:
        recipe = self.recipe
        return planned(
            folder, fitted.model, fitted.dataset, recipe.max_history,
            wanted=recipe.plan, max_loss=recipe.max_plan_loss, seed=recipe.seed,
        )  # fmt: skip

    def _told(self, fitted: "_Fitted", measurement: Measurement, manifest: Manifest) -> RunReport:
        facts = {
            "data version": str(manifest.data_version),
            "code": manifest.code_version,
            "seed": str(manifest.seed),
            "training": fitted.start.mode,
            "ended": fitted.fit_end.value,
            "seconds to fit": f"{fitted.fit_s:.0f}",
        }
        return RunReport(
            title=manifest.model_version,
            model=fitted.model,
            dataset=fitted.dataset,
            measurement=measurement,
            max_history=self.recipe.max_history,
            epochs=fitted.epochs,
            facts=facts,
            titles=fitted.titles,
        )

    def _register(self, location: str, manifest: Manifest, fitted: "_Fitted") -> Model:
        model = Model(
            version=manifest.model_version,
            kind=manifest.kind,
            created_time=datetime.fromisoformat(manifest.created_time),
            location=location,
            digest=sha256_of(self.bundles.fetch(location) / MANIFEST),
            data_version=manifest.data_version,
            metrics=manifest.metrics,
            origin=self.origin,
            parent=fitted.start.started_from,
            provenance=Provenance(
                code_version=manifest.code_version,
                seed=manifest.seed,
                configuration=manifest.configuration,
                first_event_time=fitted.times[0],
                last_event_time=fitted.times[1],
                cost=fitted.meter.costs,
            ),
        )
        self.registry.register(model)
        log.info("model_registered", version=model.version, location=location, metrics=dict(model.metrics))
        return model

    def _manifest(
        self,
        fitted: "_Fitted",
        metrics: Mapping[str, float],
        until_us: int | None,
        plans: PlanTable | None,
    ) -> Manifest:
        now, dataset = self.clock.now(), fitted.dataset
        return Manifest(
            model_version=new_version(now),
            kind=fitted.model.kind,
            created_time=now.isoformat(),
            data_version=fitted.data_version,
            code_version=self.recipe.code_version,
            seed=self.recipe.seed,
            dim=fitted.model.dim,
            num_items=dataset.num_items,
            max_history=self.recipe.max_history,
            configuration={
                **self.recipe.configuration,
                "until_us": until_us,
                "text_encoder": dataset.content.text_encoder,
                **dataset.bounds_us,
                "fit_end": fitted.fit_end.value,
                **fitted.start.facts(),
                **({"origin": self.origin} if self.origin else {}),
                **({} if plans is None else {"plans": plans.to_document()}),
            },
            metrics=metrics,
        )

    def _stage(self, meter: Meter, name: str, **facts: int | str) -> None:
        meter.begin(name)
        log.info("training_stage", stage=name, **facts)
        self.report({"event": "stage", "name": name, **facts})

    def _epoch(self, report: EpochReport) -> None:
        left_s = seconds_left(report.epoch, report.max_epochs, report.elapsed_s)
        log.info("training_epoch", **asdict(report), left_s=left_s)
        self.report({"event": "epoch", **asdict(report)})


def moment(time_us: int) -> datetime:
    return datetime.fromtimestamp(0, UTC) + timedelta(microseconds=time_us)


def new_version(now: datetime) -> ModelVersion:
    return ModelVersion(name_by_time(now))


def name_by_time(now: datetime) -> str:
    """One that sorts by time, such as 20261123T154500.123Z-9f3c; the end tells apart what begins in one millisecond."""
    moment = now.astimezone(UTC)
    return f"{moment:%Y%m%dT%H%M%S}.{moment.microsecond // 1000:03d}Z-{secrets.token_hex(2)}"
