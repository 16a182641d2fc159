"""What `benchmarks.serve` serves: an encoder of any size, registered and live, and users with histories in Redis.

The encoder's weights are random: what an answer costs does not depend on what they say, and a catalogue of a million
items need not be trained on first.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.numpy import save_file

from services.adapters.bundle_folder import FolderBundleStore
from services.adapters.redis_store import HistoryLimits, RedisHistoryWriter
from services.domain.bundles import ENCODER, MANIFEST, TABLES, VOCABULARY, Manifest, sha256_of
from services.domain.clock import SystemClock
from services.domain.event_types import DEFAULT_EVENT_TYPES
from services.domain.ids import EventId, ItemId, ModelVersion, UserId
from services.domain.interactions import Interaction
from services.domain.models import Model
from services.domain.vocabulary import Vocabulary, input_types
from services.registry.promotion import promote
from services.registry.wiring import open_notice, open_registry
from services.settings import Settings
from services.training.data.content import ItemContent
from services.training.kinds.sequence.graph import encoder_graph
from services.training.kinds.sequence.network import Dropouts, EncoderNetwork, NetworkShape

START_US: Final = 1_700_000_000_000_000
NUM_CONSUMED: Final = 20  # of each user's items: the last ones are purchases


@dataclass(frozen=True)
class Size:
    """The default is that of MovieLens-1M, as the figures in the README are of it."""

    num_items: int = 3_706
    dim: int = 64
    num_blocks: int = 2
    max_history: int = 50


def item_id(number: int) -> ItemId:
    return ItemId(f"item-{number:07d}")


def publish(settings: Settings, size: Size, version: str, draft: Path) -> None:
    """Makes a bundle of this size the live model of this home; blocks for seconds. draft: a new folder."""
    torch.manual_seed(1)
    vocabulary = Vocabulary(tuple(map(item_id, range(1, size.num_items + 1))), input_types(DEFAULT_EVENT_TYPES))
    num_types = len(vocabulary.event_type_labels)
    shape = NetworkShape(size.num_items, num_types, 0, size.dim, size.num_blocks, 2, size.max_history)
    no_texts = np.empty((size.num_items, 0), np.float32)
    content = ItemContent((), np.empty(0, np.int64), np.zeros(size.num_items + 1, np.int64), no_texts)
    network = EncoderNetwork(shape, Dropouts(0.0, 0.0), content).eval()
    with torch.inference_mode():
        item_vectors = network.item_table()
    draft.mkdir(parents=True)
    (draft / ENCODER).write_bytes(encoder_graph(network, item_vectors).SerializeToString())
    popularity = np.random.default_rng(1).random(size.num_items).astype(np.float32)
    save_file({"popularity": popularity, "item_vectors": item_vectors[1:].numpy().copy()}, draft / TABLES)
    (draft / VOCABULARY).write_text(vocabulary.to_json(), encoding="utf-8")
    manifest = Manifest(
        ModelVersion(version), "sequence", datetime.now(UTC).isoformat(), 0, "benchmark", 1, size.dim, size.num_items,
        size.max_history,
    )  # fmt: skip
    store, registry = FolderBundleStore(settings.bundle_folder), open_registry(settings)
    location = store.publish(draft, manifest)
    digest = sha256_of(store.fetch(location) / MANIFEST)
    registry.register(Model(manifest.model_version, manifest.kind, SystemClock().now(), location, digest, 0))
    promote(registry, open_notice(settings), manifest.model_version, "benchmark", "its weights are random")


def write_histories(redis_url: str, size: Size, num_users: int) -> list[UserId]:
    """Users with as many events as the model reads, each other ones."""
    random = np.random.default_rng(2)
    writer = RedisHistoryWriter(redis_url, DEFAULT_EVENT_TYPES, HistoryLimits(size.max_history, 2_000, 86_400))
    users = [UserId(f"user-{number:06d}") for number in range(num_users)]
    for user_id in users:
        writer.apply(list(_events(user_id, random.integers(1, size.num_items + 1, size.max_history))))
    writer.close()
    return users


def _events(user_id: UserId, items: "np.ndarray[tuple[int], np.dtype[np.int64]]") -> Iterator[Interaction]:
    for number, item in enumerate(items.tolist()):
        kind = "purchase" if number >= len(items) - NUM_CONSUMED else "view"
        yield Interaction(
            EventId(f"{user_id}-{number:03d}"), user_id, item_id(item), kind, START_US + number * 60_000_000
        )
