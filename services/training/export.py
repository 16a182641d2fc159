"""Writes a fitted model as a draft bundle, and proves that serving will compute what was evaluated.

The layout of the files is that of `domain.bundles`; the manifest is written by whoever publishes the draft.
"""

from collections.abc import Iterable
from pathlib import Path
from typing import Final

import numpy as np
import onnxruntime
from safetensors.numpy import save_file

from services.domain.bundles import ENCODER, TABLES, VOCABULARY
from services.domain.errors import TrainingFailed
from services.domain.history_input import NUM_GAP_ROWS
from services.domain.vocabulary import Vocabulary
from services.training.model import Floats, History, Table, TrainableModel

MAX_DIFFERENCE: Final = 1e-4  # larger: rankings may differ from what was measured; smaller: rounding alone fails
HISTORIES_PER_LENGTH: Final = 8


def write_draft(
    folder: Path, model: TrainableModel, vocabulary: Vocabulary, popularity: Floats, max_history: int
) -> None:
    """Writes the bundle's files but the manifest; raises TrainingFailed when ONNX Runtime disagrees with the model."""
    (folder / VOCABULARY).write_text(vocabulary.to_json(), encoding="utf-8")
    tables: dict[str, Table] = {"popularity": popularity, **model.serving_tables()}
    if (graph := model.encoder_onnx()) is not None:
        (folder / ENCODER).write_bytes(graph)
        _compare(folder / ENCODER, model, vocabulary, max_history)
    save_file({name: np.ascontiguousarray(table) for name, table in tables.items()}, folder / TABLES)


def _compare(path: Path, model: TrainableModel, vocabulary: Vocabulary, max_history: int) -> None:
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    random = np.random.default_rng(0)
    for length in sorted({1, 2, max(1, max_history // 2), max_history}):
        histories = list(_random_histories(random, vocabulary, length))
        feeds = {
            "items": np.stack([history.items for history in histories]),  # (batch, length), and so the others
            "event_types": np.stack([history.types for history in histories]),
            "gaps": np.stack([history.gaps for history in histories]),
        }
        difference = np.abs(session.run(["user_vectors"], feeds)[0] - model.encode_users(histories)).max()
        if not difference <= MAX_DIFFERENCE:  # so that NaN fails too
            raise TrainingFailed(
                f"The exported encoder is off by {difference:.2g} for histories of length {length}; "
                "kinds/sequence/graph.py no longer describes network.py."
            )


def _random_histories(random: np.random.Generator, vocabulary: Vocabulary, length: int) -> Iterable[History]:
    for _ in range(HISTORIES_PER_LENGTH):
        items = random.integers(1, len(vocabulary.item_ids) + 1, length)
        types = random.integers(1, len(vocabulary.event_type_labels) + 1, length)
        yield History(items, types, random.integers(NUM_GAP_ROWS, size=length))
