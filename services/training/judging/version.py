"""A published version among tonight's items: it reads histories in its own words, and answers in tonight's rows.

What it reads and shows is what it would in serving: histories by its own vocabulary and length, its own popular items
for a user of whom it knows nothing, and none of the items that it has no row of.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Protocol, Self

import numpy as np

from services.domain.bundles import VOCABULARY, Manifest, read_manifest
from services.domain.errors import BundleBroken, TrainingFailed
from services.domain.event_columns import EventColumns
from services.domain.event_types import EventTypes
from services.domain.history_input import HistoryRows
from services.domain.ids import ItemId, ModelVersion
from services.domain.vocabulary import Vocabulary
from services.features.history import Histories, Rows
from services.training.data.dataset import Dataset, Moments
from services.training.evaluation.ranking import Ranked, rank_targets
from services.training.model import Floats, History
from services.training.served import Served


class Answers(Protocol):
    """How a version scores, in item rows of its own; `served.Served` is one."""

    def score(self, histories: Sequence[History], /) -> Floats:
        """(len(histories), num of its items); no history is empty."""
        ...

    @property
    def popularity(self) -> Floats:
        """(num of its items,), what a user of whom it knows nothing gets."""
        ...

    @property
    def item_vectors(self) -> Floats:
        """(num of its items, dim)."""
        ...


class Published:
    """A version as its bundle has it."""

    def __init__(self, manifest: Manifest, vocabulary: Vocabulary, served: Answers) -> None:
        self.manifest, self.vocabulary, self.served = manifest, vocabulary, served

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Of a folder whose sums were compared; raises BundleBroken."""
        manifest = read_manifest(folder)
        try:
            vocabulary = Vocabulary.from_json((folder / VOCABULARY).read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise BundleBroken(f"{VOCABULARY} in {folder} cannot be read: {error}") from error
        return cls(manifest, vocabulary, Served(folder, manifest.kind, manifest.dim, vocabulary))

    @property
    def version(self) -> ModelVersion:
        return self.manifest.model_version

    @property
    def cut_us(self) -> int | None:
        """It has seen nothing from this moment on; None when its manifest does not say."""
        cut_us = self.manifest.configuration.get("cut_us")
        return cut_us if isinstance(cut_us, int) else None


class Tonight:
    """The events, and how they are cut and numbered for all versions alike.

    Holds the columns of the log, and of histories those of one vocabulary beside the dataset's: 40 bytes an event each.
    """

    def __init__(self, events: EventColumns, event_types: EventTypes, dataset: Dataset) -> None:
        self.events, self.dataset = events, dataset
        self._event_types = event_types
        self._last = dataset.vocabulary, dataset.histories

    def histories(self, vocabulary: Vocabulary) -> Histories:
        """As a version of this vocabulary reads them."""
        if vocabulary == self.dataset.vocabulary:
            return self.dataset.histories
        if vocabulary != self._last[0]:
            self._last = vocabulary, Histories(self.events, vocabulary, self._event_types)
        return self._last[1]

    def share_known(self, item_ids: Sequence[ItemId], known: frozenset[ItemId]) -> float:
        """The share of the events with these items before the holdout that are of known ones; 0 when there are none."""
        before = self.events.event_times_us < self.dataset.bounds_us["cut_us"]
        num_events = np.bincount(self.events.items.codes[before], minlength=len(self.events.items.words))
        counts = dict(zip(self.events.items.words, num_events.tolist(), strict=True))
        of_all = sum(counts.get(item_id, 0) for item_id in item_ids)
        of_known = sum(counts.get(item_id, 0) for item_id in item_ids if item_id in known)
        return of_known / of_all if of_all else 0.0


class AmongTonight:
    """What a version answers to tonight's questions; fulfils `ranking.Histories`."""

    def __init__(self, published: Published, tonight: Tonight) -> None:
        words = tonight.dataset.vocabulary
        self._published, self._tonight = published, tonight
        self._own = tonight.histories(published.vocabulary)
        rows = [words.item_rows.get(item_id, 0) for item_id in published.vocabulary.item_ids]
        self._rows = np.array(rows, np.int64)
        """(num of its items,) tonight's row of each; 0 for one that there is none of."""
        self._has_row = self._rows > 0
        self.unknown = np.setdiff1d(np.arange(1, len(words.item_ids) + 1), self._rows)
        """Tonight's rows of the items that it lacks."""

    def as_of(self, user_row: int, time_us: int, max_history: int) -> HistoryRows:
        """In rows of its own."""
        return self._own.as_of(user_row, time_us, max_history)

    def consumed_as_of(self, user_row: int, time_us: int) -> Rows:
        """In tonight's rows: what was consumed is so whichever model knows it, and so are the questions skipped."""
        return self._tonight.dataset.histories.consumed_as_of(user_row, time_us)

    def score(self, histories: Sequence[History]) -> Floats:
        """(len(histories), num_items) in tonight's rows; raises TrainingFailed for a score that is no number."""
        scores = self._published.served.score(histories)
        if not np.isfinite(scores).all():  # looked at before items that tonight lacks are left out
            raise TrainingFailed(f"{self._published.version} scores items with values that are no numbers.")
        return self._tonights(scores)

    def ranked(self, moments: Moments) -> Ranked:
        """What it shows, and where it puts what was chosen."""
        popularity = self._tonights(self._published.served.popularity[np.newaxis])[0]
        max_history = self._published.manifest.max_history
        return rank_targets(self.score, moments, self, popularity, max_history, unknown=self.unknown)

    def _tonights(self, scores: Floats) -> Floats:
        """0 for an item that it lacks, which is in no list."""
        found = np.zeros((len(scores), self._tonight.dataset.num_items), np.float32)
        found[:, self._rows[self._has_row] - 1] = scores[:, self._has_row]
        return found
