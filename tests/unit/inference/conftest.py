from pathlib import Path

import numpy as np
import pytest

from services.inference.serving_model import ServingModel, load_serving_model
from tests.fakes.tiny_bundle import write_bundle

# Six items on the axes of a plane, so that every answer can be read off: 1, 2 point right, 3, 4 up, 5 left, 6 down.
VECTORS = np.array([[2, 0], [1, 0], [0, 2], [0, 1], [-1, 0], [0, -1]], dtype=np.float32)


@pytest.fixture
def model(tmp_path: Path) -> ServingModel:
    """Version v1 of six items; popularity falls from item-1 to item-6."""
    write_bundle(tmp_path / "v1", "v1", vectors=VECTORS)
    return load_serving_model(tmp_path / "v1")


@pytest.fixture
def other_model(tmp_path: Path) -> ServingModel:
    """Version v2: the same items with the vectors in the opposite order, so that it never gives v1's answer."""
    write_bundle(tmp_path / "v2", "v2", vectors=VECTORS[::-1].copy())
    return load_serving_model(tmp_path / "v2")
