"""Two real bundles under many version names, and what each recommends to whom: the material of `benchmarks.swap`.

What is expected is worked out here, from the bundle's files and the histories as they were written, without a server.
"""

import os
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np

from benchmarks.dataset import write_log
from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.redis_store import HistoryLimits, RedisHistoryWriter
from services.domain.bundles import MANIFEST, read_manifest, sha256_of
from services.domain.clock import SystemClock
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, ModelVersion, UserId
from services.domain.interactions import HistoryEntry, Interaction
from services.domain.models import Model
from services.domain.ports import ModelRegistry
from services.inference.excluded import NOTHING
from services.inference.serving_model import ServingModel, load_serving_model
from services.settings import load

NUM_USERS: Final = 200
NUM_EVENTS: Final = 30
K: Final = 10
START_US: Final = 1_700_000_000_000_000
NOBODY: Final = ""


def trained(home: Path, num_events: int, seed: int) -> Path:
    """The folder of a bundle trained on a log of so many synthetic events, for one epoch; blocks for a minute."""
    settings = load(home=home)
    write_log(settings.log_folder, num_events)
    fields = {"NIGHTJAR_HOME": str(home), "NIGHTJAR_TRAIN__MAX_EPOCHS": "1", "NIGHTJAR_TRAIN__SEED": str(seed)}
    command = [sys.executable, "-m", "services.training"]
    subprocess.run(command, env={**os.environ, **fields}, check=True, capture_output=True)
    (folder,) = settings.bundle_folder.iterdir()
    return folder


@dataclass(frozen=True)
class Material:
    """families: for each, the model as it is loaded; versions are named `0001-a`, where `a` is the family."""

    families: Mapping[str, Path]
    models: Mapping[str, ServingModel]
    histories: Mapping[UserId, Sequence[ItemId]]

    @classmethod
    def of(cls, folders: Mapping[str, Path]) -> "Material":
        models = {family: load_serving_model(folder) for family, folder in folders.items()}
        items = next(iter(models.values())).vocabulary.item_ids
        random = np.random.default_rng(0)
        chosen = {
            UserId(f"swap-user-{number}"): [items[at] for at in random.choice(len(items), NUM_EVENTS, replace=False)]
            for number in range(NUM_USERS)
        }
        return cls(folders, models, chosen)

    def publish(self, store: FolderBundleStore, registry: ModelRegistry, number: int, family: str) -> ModelVersion:
        """A version of the family, registered and not judged."""
        version = ModelVersion(f"{number:04d}-{family}")
        manifest = replace(read_manifest(self.families[family]), model_version=version)
        location = store.publish(self.families[family], manifest)
        digest = sha256_of(store.fetch(location) / MANIFEST)
        registry.register(Model(version, manifest.kind, SystemClock().now(), location, digest, manifest.data_version))
        return version

    def write_histories(self, redis_url: str) -> None:
        writer = RedisHistoryWriter(redis_url, DEFAULT_EVENT_TYPES, HistoryLimits(200, 2_000, 86_400))
        for user_id, items in self.histories.items():
            writer.apply([Interaction(*key, "view", time_us) for key, time_us in _events(user_id, items)])
        writer.close()

    def expected(self) -> dict[str, dict[str, list[str]]]:
        """For each family and user, the K items that a reply holds; for nobody, those of one without a history."""
        return {
            family: {user_id: _answer(model, user_id, items) for user_id, items in self.histories.items()}
            | {NOBODY: _popular(model)}
            for family, model in self.models.items()
        }


def _events(user_id: UserId, items: Sequence[ItemId]) -> Iterator[tuple[tuple[EventId, UserId, ItemId], int]]:
    for number, item_id in enumerate(items):
        yield (EventId(f"{user_id}-{number:03d}"), user_id, item_id), START_US + number * 1_000_000


def _answer(model: ServingModel, user_id: UserId, items: Sequence[ItemId]) -> list[str]:
    entries = [
        HistoryEntry(time_us, event_id, item_id, "view") for (event_id, _, item_id), time_us in _events(user_id, items)
    ]
    rows, scores = model.scorer.best(model.history_rows(entries), K, NOTHING)  # views consume nothing
    return [each.item_id for each in model.scored_items(rows, scores)]


def _popular(model: ServingModel) -> list[str]:
    return [each.item_id for each in model.scored_items(*model.index.popular(K, NOTHING))]
