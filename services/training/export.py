"""Writes a fitted model as a draft bundle, and proves that serving will compute what was evaluated.

The layout of the files is that of `domain.bundles`; the manifest is written by whoever publishes the draft.
"""

from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import onnxruntime
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file

from services.domain.bundle_tables import TableSizes, check_tables
from services.domain.bundles import ENCODER, TABLES, VOCABULARY, Scoring, scoring_of
from services.domain.errors import BundleBroken, TrainingFailed
from services.domain.history_input import NUM_GAP_ROWS
from services.domain.scoring import FoldIn, Neighbours, Tables
from services.domain.vocabulary import Vocabulary
from services.training.model import Floats, History, Table, TrainableModel, WarmStarting

MAX_DIFFERENCE: Final = 1e-4  # larger: rankings may differ from what was measured; smaller: rounding alone fails
HISTORIES_PER_LENGTH: Final = 8

Served: TypeAlias = Callable[[History], Floats]
"""The scores of all items, (num_items,), as serving computes them."""


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
        served = _served(folder, model, vocabulary)
        _compare(served, model, vocabulary, max_history)
    except BundleBroken as error:
        raise TrainingFailed(f"Serving would refuse the model that was trained: {error}.") from error


def _served(folder: Path, model: TrainableModel, vocabulary: Vocabulary) -> Served:
    """From the files, as serving reads them; raises BundleBroken."""
    scoring, tables = scoring_of(model.kind), load_file(folder / TABLES)
    sizes = TableSizes(len(vocabulary.item_ids), model.dim, len(vocabulary.event_type_labels))
    check_tables(tables, scoring, sizes)
    return _SERVED[scoring](folder, tables)


def _encoded(folder: Path, tables: Tables) -> Served:
    session = onnxruntime.InferenceSession(folder / ENCODER, providers=["CPUExecutionProvider"])

    def scores(history: History) -> Floats:
        feeds = {
            "items": history.items[np.newaxis],  # (1, length), and so the others
            "event_types": history.types[np.newaxis],
            "gaps": history.gaps[np.newaxis],
        }
        user_vectors: Floats = session.run(["user_vectors"], feeds)[0]  # (1, dim)
        found: Floats = tables["item_vectors"] @ user_vectors[0]
        return found

    return scores


def _folded_in(_folder: Path, tables: Tables) -> Served:
    fold_in = FoldIn.of(tables)
    return lambda history: tables["item_vectors"] @ fold_in.encode(history)


_SERVED: Final[Mapping[Scoring, Callable[[Path, Tables], Served]]] = {
    Scoring.POPULAR: lambda _, tables: lambda _: tables["popularity"],
    Scoring.ENCODED: _encoded,
    Scoring.FOLDED_IN: _folded_in,
    Scoring.NEIGHBOURS: lambda _, tables: Neighbours.of(tables).scores,
}


def _compare(served: Served, model: TrainableModel, vocabulary: Vocabulary, max_history: int) -> None:
    random = np.random.default_rng(0)
    for length in sorted({1, 2, max(1, max_history // 2), max_history}):
        histories = list(_random_histories(random, vocabulary, length))
        evaluated = model.score(histories)  # (HISTORIES_PER_LENGTH, num_items)
        difference = np.abs(np.stack([served(history) for history in histories]) - evaluated).max()
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
