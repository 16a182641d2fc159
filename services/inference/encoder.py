"""The user encoder of a bundle, run by ONNX Runtime on one core: a history in, a user vector out."""

from pathlib import Path

import numpy as np
import numpy.typing as npt
import onnxruntime

from services.domain.errors import BundleBroken
from services.domain.history_input import HistoryRows
from services.inference.excluded import Vector


class Encoder:
    """One ONNX session. Immutable, and safe to call from several threads."""

    def __init__(self, path: Path, dim: int) -> None:
        """Loads the graph; raises BundleBroken when ONNX Runtime refuses it or its inputs have other names."""
        self._dim = dim
        try:
            self._session = onnxruntime.InferenceSession(path, _session_options(), providers=["CPUExecutionProvider"])
        except Exception as error:
            raise BundleBroken(f"ONNX Runtime cannot load {path.name}: {error}") from error
        inputs = {node.name for node in self._session.get_inputs()}
        outputs = [node.name for node in self._session.get_outputs()]
        if inputs != {"items", "event_types", "gaps"} or outputs != ["user_vectors"]:
            raise BundleBroken(
                f"{path.name} maps {sorted(inputs)} to {outputs}, not items, event_types, gaps to user_vectors"
            )

    def knows(self, history: HistoryRows) -> bool:
        """Whether there is anything to encode: every event of a type in the vocabulary says something."""
        return len(history.items) > 0

    def encode(self, history: HistoryRows) -> Vector:
        """The user vector (dim,) float32 of a history that is not empty.

        Blocks for about a tenth of a millisecond. Raises BundleBroken when the graph fails, or gives a vector of
        another shape or with a number that is not finite.
        """
        feeds = {
            "items": history.items[np.newaxis],  # (1, length), and so the others
            "event_types": history.types[np.newaxis],
            "gaps": history.gaps[np.newaxis],
        }
        try:
            user_vectors: npt.NDArray[np.float32] = self._session.run(["user_vectors"], feeds)[0]
        except Exception as error:
            raise BundleBroken(f"the encoder failed on a history of length {len(history.items)}: {error}") from error
        if user_vectors.shape != (1, self._dim) or not np.isfinite(user_vectors).all():
            raise BundleBroken(f"the encoder gave {user_vectors.shape}, not finite numbers of shape {(1, self._dim)}")
        user_vector: Vector = user_vectors[0]
        return user_vector


def _session_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # One request is one core's work: throughput comes from worker processes, and more threads only fight them.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True  # law 2
    options.log_severity_level = 3  # errors; they are raised anyway
    return options
