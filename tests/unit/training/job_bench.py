"""A training job on fakes, what it said, and another night of the same project."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any

from services.domain.bundles import read_manifest
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.models import Model
from services.training.job import Recipe, TrainingJob
from services.training.model import TrainableModel
from services.training.start import Mode, Starting
from tests.fakes.bundle_store import FakeBundleStore
from tests.fakes.clock import START, FakeClock
from tests.fakes.event_log import FakeEventLog
from tests.fakes.item_catalog import FakeItemCatalog
from tests.fakes.model_registry import FakeModelRegistry
from tests.fakes.planted import planted_events
from tests.fakes.user_directory import FakeUserDirectory


class Run:
    """A job on fakes, and what it said."""

    def __init__(self, folder: Path, model: Callable[[], TrainableModel], log: FakeEventLog | None = None) -> None:
        self.said: list[Mapping[str, Any]] = []
        self.folder, self.model = folder, model
        self.bundles, self.registry = FakeBundleStore(folder), FakeModelRegistry()
        self.erasures, self.items = FakeUserDirectory(), FakeItemCatalog()
        self.job = TrainingJob(
            events=log or FakeEventLog(planted_events(60, 20)),
            items=self.items,
            erasures=self.erasures,
            bundles=self.bundles,
            registry=self.registry,
            clock=FakeClock(),
            recipe=Recipe(
                model=model, event_types=DEFAULT_EVENT_TYPES, max_history=12, holdout_fraction=0.1,
                validation_fraction=0.1, min_item_events=1, seed=5, code_version="0.1.0+abc", configuration={"dim": 16},
            ),
            report=self.said.append,
            starting=Starting(self.registry.newest, self.bundles, "auto", timedelta(days=7)),
        )  # fmt: skip


def again(run: Run, mode: Mode = "auto", days_later: float = 1.0, **changes: Any) -> Run:
    """Another night of the same project."""
    later = Run(run.folder, run.model)
    later.registry, later.erasures, later.bundles = run.registry, run.erasures, run.bundles
    clock = FakeClock(START + timedelta(days=days_later))
    starting = Starting(run.registry.newest, run.bundles, mode, timedelta(days=7))
    later.job = replace(
        later.job, registry=run.registry, bundles=run.bundles, erasures=run.erasures, clock=clock, starting=starting,
        **changes,
    )  # fmt: skip
    return later


def facts_of(run: Run, model: Model) -> Mapping[str, Any]:
    return read_manifest(run.bundles.fetch(model.location)).configuration
