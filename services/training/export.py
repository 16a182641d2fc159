"""Writes a fitted model as a draft bundle, and proves that serving will compute what was evaluated.

The layout of the files is that of `domain.bundles`; the manifest is written by whoever publishes the draft.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
from safetensors import SafetensorError
from safetensors.numpy import save_file

from services.domain.bundles import ENCODER, TABLES, VOCABULARY
from services.domain.errors import BundleBroken, TrainingFailed
from services.domain.history_input import NUM_GAP_ROWS
from services.domain.vocabulary import Vocabulary
from services.training.model import Floats, History, Table, TrainableModel, WarmStarting
from services.training.served import Served

MAX_DIFFERENCE: Final = 1e-4  # larger: rankings may differ from what was measured; smaller: rounding alone fails
HISTORIES_PER_LENGTH: Final = 8


def write_draft(
    folder: Path, model: TrainableModel, vocabulary: Vocabulary, popularity: Floats, max_history: int
) -> None:
    """Writes the bundle's files but the manifest; raises TrainingFailed when serving would score otherwise.

    Also when the disk has no room. A kind that can be started from leaves its fitted state there, too.
    """
    try:
        (folder / VOCABULARY).write_text(vocabulary.to_json(), encoding="utf-8")
        if (graph := model.encoder_onnx()) is not None:
            (folder / ENCODER).write_bytes(graph)
        tables: dict[str, Table] = {"popularity": popularity, **model.serving_tables()}
        save_file({name: np.ascontiguousarray(table) for name, table in tables.items()}, folder / TABLES)
        if isinstance(model, WarmStarting):
            model.save(folder)
    except (OSError, SafetensorError) as error:
        raise TrainingFailed(f"The bundle cannot be written ({error}); make room on the disk of {folder}.") from error
    try:
        _compare(Served(folder, model.kind, model.dim, vocabulary), model, vocabulary, max_history)
    except BundleBroken as error:
        raise TrainingFailed(f"Serving would refuse the model that was trained: {error}.") from error


def _compare(served: Served, model: TrainableModel, vocabulary: Vocabulary, max_history: int) -> None:
    random = np.random.default_rng(0)
    for length in sorted({1, 2, max(1, max_history // 2), max_history}):
        histories = list(_random_histories(random, vocabulary, length))
        evaluated = model.score(histories)  # (HISTORIES_PER_LENGTH, num_items)
        difference = np.abs(served.score(histories) - evaluated).max()
        size = np.abs(evaluated).max()
        if not difference <= MAX_DIFFERENCE * size:  # so that NaN fails too
            raise TrainingFailed(
                f"Serving would be off by {difference:.2g}, where scores are up to {size:.2g}, for histories of length "
                f"{length}: the files of the kind {model.kind!r} do not say what its model scores."
            )


def _random_histories(random: np.random.Generator, vocabulary: Vocabulary, length: int) -> Iterable[History]:
    """Of few different items, so that some come back with events of other types."""
    for _ in range(HISTORIES_PER_LENGTH):
        few = random.integers(1, len(vocabulary.item_ids) + 1, max(1, length // 2))
        types = random.integers(1, len(vocabulary.event_type_labels) + 1, length)
        yield History(random.choice(few, length), types, random.integers(NUM_GAP_ROWS, size=length))
