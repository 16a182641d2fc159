"""The serving model: one immutable, warmed-up bundle; everything an answer needs besides the request.

It is loaded as a whole and swapped as a whole; whoever answers takes one reference and keeps it to the end.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from services.domain.bundle_tables import TABLES_OF, TableSizes, check_tables
from services.domain.bundles import ENCODER, TABLES, VOCABULARY, Manifest, Scoring, read_manifest, scoring_of
from services.domain.errors import BundleBroken
from services.domain.history_input import NUM_GAP_ROWS, HistoryRows, encoder_input
from services.domain.ids import EventId, ItemId, ModelVersion
from services.domain.interactions import HistoryEntry
from services.domain.recommendations import ScoredItem
from services.domain.scoring import Tables
from services.domain.vocabulary import Vocabulary
from services.inference.excluded import NOTHING, Excluded, Rows
from services.inference.retrieval import ItemIndex
from services.inference.scorers import Parts, Scorer, make_scorer
from services.inference.tables_file import read_tables


@dataclass(frozen=True)
class ServingModel:
    """One version, ready to answer."""

    manifest: Manifest
    vocabulary: Vocabulary
    index: ItemIndex
    scorer: Scorer

    @property
    def version(self) -> ModelVersion:
        return self.manifest.model_version

    def history_rows(self, entries: Sequence[HistoryEntry]) -> HistoryRows:
        """A history as this model reads it; empty when it lacks every item or event type of it."""
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
    scoring = scoring_of(manifest.kind)
    for name in (TABLES, VOCABULARY, *((ENCODER,) if scoring is Scoring.ENCODED else ())):
        if name not in manifest.sha256:
            raise BundleBroken(f"the manifest of {manifest.model_version} has no sum for {name}")
    vocabulary = _vocabulary(folder / VOCABULARY)
    if len(vocabulary.item_ids) != manifest.num_items:
        raise BundleBroken(f"{VOCABULARY} names {len(vocabulary.item_ids)} items, the manifest {manifest.num_items}")
    tables = read_tables(folder / TABLES)
    check_tables(tables, scoring, TableSizes(manifest.num_items, manifest.dim, len(vocabulary.event_type_labels)))
    index = _item_index(tables, scoring)
    model = ServingModel(manifest, vocabulary, index, make_scorer(Parts(folder, manifest, tables, index)))
    _warm_up(model)
    return model


def _vocabulary(path: Path) -> Vocabulary:
    try:
        return Vocabulary.from_json(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError) as error:
        raise BundleBroken(f"{path.name} cannot be read: {error}") from error


def _item_index(tables: Tables, scoring: Scoring) -> ItemIndex:
    popularity = tables["popularity"]
    has_vectors = "item_vectors" in TABLES_OF[scoring]
    return ItemIndex(tables["item_vectors"] if has_vectors else np.empty((len(popularity), 0), np.float32), popularity)


def _warm_up(model: ServingModel) -> None:
    """Answers for histories of several lengths, so that a fault shows before the swap and not in a request.

    The maps from ids to rows are built here too: of a million items that takes a second, which would stop every
    request of the worker. Each history ends on the last rows, which a graph with too small a table does not have.
    """
    words, num_items = model.vocabulary, model.index.num_items
    last = words.item_ids[-1]
    model.index.popular(1, Excluded.of(model.known_rows([last])))
    model.history_rows([HistoryEntry(0, EventId("warm-up"), last, name) for name in words.event_type_rows])
    model.scorer.similar(num_items, 1, NOTHING)
    num_types = len(words.event_type_labels)
    for length in sorted({1, 2, model.manifest.max_history}) if num_types else ():
        before_the_end = np.arange(-length, 0)
        gaps = np.full(length, NUM_GAP_ROWS - 1, dtype=np.int64)
        history = HistoryRows(before_the_end % num_items + 1, before_the_end % num_types + 1, gaps)
        if model.scorer.knows(history):
            model.scorer.best(history, 1, NOTHING)
