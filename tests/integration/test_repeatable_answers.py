"""Law 2: the same version and the same history give the same answer, to the last bit, whoever loaded the bundle."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from services.domain.history_input import HistoryRows
from services.inference.excluded import Excluded
from services.inference.serving_model import ServingModel, load_serving_model
from tests.fakes.tiny_bundle import item_vectors, write_bundle

NUM_ITEMS, DIM = 3_000, 48
HISTORIES = [(1,), (7, 7, 7), (5, 2_999, 1_500, 3_000), (1, 2, 3, 4, 5)]
KS = (1, 10, 500)

ANSWER = """
import sys
from pathlib import Path
from services.inference.serving_model import load_serving_model
from tests.integration.test_repeatable_answers import answers
sys.stdout.buffer.write(answers(load_serving_model(Path(sys.argv[1]))))
"""


def answers(model: ServingModel) -> bytes:
    """Rows and scores for every history and k, bit for bit."""
    parts = []
    for items in HISTORIES:
        history = HistoryRows(np.array(items), np.ones(len(items), np.int64), np.zeros(len(items), np.int64))
        for k in KS:
            rows, scores = model.scorer.best(history, k, Excluded(np.unique(items)))
            parts += [rows.tobytes(), scores.tobytes()]
    return b"".join(parts)


@pytest.fixture(scope="module")
def bundle(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bundles") / "v1"
    write_bundle(folder, "v1", vectors=item_vectors(1, NUM_ITEMS, DIM))
    return folder


def test_a_bundle_loaded_twice_gives_the_same_bits(bundle: Path) -> None:
    first, second = load_serving_model(bundle), load_serving_model(bundle)
    assert first is not second
    assert answers(first) == answers(second)
    assert answers(first) == answers(first)


def test_two_processes_give_the_same_bits(bundle: Path) -> None:
    """Each as a worker runs: one thread, since sums over threads could differ in the last bit."""
    environment = os.environ | {"OPENBLAS_NUM_THREADS": "1", "OMP_NUM_THREADS": "1"}
    command = [sys.executable, "-c", ANSWER, str(bundle)]
    first, second = (
        subprocess.run(command, env=environment, stdout=subprocess.PIPE, timeout=60, check=True).stdout
        for _ in range(2)
    )
    assert len(first) == len(HISTORIES) * sum(KS) * (8 + 4)  # a row and a score an item
    assert first == second
