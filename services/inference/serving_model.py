"""The serving model: one immutable, warmed-up bundle; everything an answer needs besides the request.

It is loaded as a whole and swapped as a whole; whoever answers takes one reference and keeps it to the end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import load_file

from services.domain.bundles import ENCODER, TABLES, VOCABULARY, Manifest, read_manifest
from services.domain.errors import BundleBroken
from services.domain.history_input import encoder_input
from services.domain.ids import EventId, ItemId, ModelVersion
from services.domain.interactions import HistoryEntry
from services.domain.recommendations import ScoredItem
from services.domain.vocabulary import Vocabulary
from services.inference.encoder import Encoder
from services.inference.retrieval import NO_ROWS, ItemIndex, Rows

POPULARITY: Final = "popularity"  # the kind of bundle that has no encoder


@dataclass(frozen=True)
class ServingModel:
    """One version, ready to answer."""

    manifest: Manifest
    vocabulary: Vocabulary
    index: ItemIndex
    encoder: Encoder | None

    @property
    def version(self) -> ModelVersion:
        return self.manifest.model_version

    def history_rows(self, entries: Sequence[HistoryEntry]) -> tuple[Rows, Rows]:
        """The encoder's input for a history, both (length,); empty when this model knows nothing of it."""
        return encoder_input(entries, self.vocabulary, self.manifest.max_history)

    def known_rows(self, item_ids: Iterable[ItemId]) -> Rows:
        """The rows of those items that this model knows."""
        rows = self.vocabulary.item_rows
        return np.array([rows[item_id] for item_id in item_ids if item_id in rows], dtype=np.int64)

    def scored_items(self, rows: Iterable[int], scores: Iterable[float]) -> tuple[ScoredItem, ...]:
        """Outside words for item rows and their scores."""
        item_ids = self.vocabulary.item_ids
        return tuple(ScoredItem(item_ids[row - 1], float(score)) for row, score in zip(rows, scores, strict=True))


def load_serving_model(folder: Path) -> ServingModel:
    """Loads and warms up a bundle; blocks. Raises BundleBroken, and then nothing has changed anywhere.

    folder: verified, as BundleStore.fetch gives it. Nothing is hashed again here: a swap under load has no core to
    spare. What the parts say of one another is checked all the same.
    """
    manifest = read_manifest(folder)
    with_encoder = manifest.kind != POPULARITY
    for name in (TABLES, VOCABULARY, *((ENCODER,) if with_encoder else ())):
        if name not in manifest.sha256:
            raise BundleBroken(f"the manifest of {manifest.model_version} has no sum for {name}")
    vocabulary = _vocabulary(folder / VOCABULARY)
    index = _item_index(folder / TABLES, manifest)
    if len(vocabulary.item_ids) != index.num_items:
        raise BundleBroken(f"{VOCABULARY} names {len(vocabulary.item_ids)} items, {TABLES} holds {index.num_items}")
    encoder = Encoder(folder / ENCODER, manifest.dim) if with_encoder else None
    model = ServingModel(manifest, vocabulary, index, encoder)
    _warm_up(model)
    return model


def _vocabulary(path: Path) -> Vocabulary:
    try:
        return Vocabulary.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BundleBroken(f"{path.name} cannot be read: {error}") from error


def _item_index(path: Path, manifest: Manifest) -> ItemIndex:
    try:
        tables = load_file(path)
    except (SafetensorError, OSError, ValueError) as error:
        raise BundleBroken(f"{path.name} cannot be read: {error}") from error
    num_items, dim = manifest.num_items, manifest.dim
    if manifest.kind == POPULARITY:
        dim = 0
        tables["item_vectors"] = np.empty((num_items, dim), dtype=np.float32)
    for name, shape in (("item_vectors", (num_items, dim)), ("popularity", (num_items,))):
        table = tables.get(name)
        if table is None or table.shape != shape or table.dtype != np.float32:
            raise BundleBroken(f"{path.name} lacks the table {name!r} of float32 {shape} that its manifest announces")
    if num_items == 0:
        raise BundleBroken(f"{path.name} holds no items")
    return ItemIndex(tables["item_vectors"], tables["popularity"])


def _warm_up(model: ServingModel) -> None:
    """Answers for histories of several lengths, so that a fault shows before the swap and not in a request.

    The maps from ids to rows are built here too: of a million items that takes a second, which would stop every
    request of the worker. Each history ends on the last rows, which an encoder with too small a table does not have.
    """
    words = model.vocabulary
    model.index.popular(1, model.known_rows(words.item_ids[-1:]))
    last = words.item_ids[-1]
    model.history_rows([HistoryEntry(0, EventId("warm-up"), last, name) for name in words.event_type_rows])
    if model.encoder is None:
        return
    for length in sorted({1, 2, model.manifest.max_history}):
        item_rows = np.arange(model.index.num_items - length, model.index.num_items) % model.index.num_items + 1
        event_type_rows = np.full(length, len(words.event_type_labels), dtype=np.int64)
        model.index.best(model.encoder.encode(item_rows, event_type_rows), 1, NO_ROWS)
