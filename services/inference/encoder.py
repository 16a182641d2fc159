"""The user encoder of a bundle, run by ONNX Runtime on one core: a history in, a user vector out."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt
import onnxruntime

from services.domain.errors import BundleBroken
from services.domain.history_input import HistoryRows
from services.inference.excluded import Vector

MAX_TOGETHER: Final = 8  # larger: no longer worth it, and the event loop is held up; smaller: more of a core each


class Encoder:
    """One ONNX session. Its answers never change, and it is safe to call from several threads."""

    def __init__(self, path: Path, dim: int) -> None:
        """Loads the graph; raises BundleBroken when ONNX Runtime refuses it or its inputs have other names."""
        self._dim = dim
        self._same_together: dict[tuple[int, int], bool] = {}
        """By number and length of histories, whether this machine gives the same bits as for one at a time."""
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
        user_vector: Vector = self._run([history])[0]
        return user_vector

    def encode_each(self, histories: Sequence[HistoryRows]) -> list[Vector]:
        """As `encode` of one after another; up to MAX_TOGETHER of one length at a time, which takes less of a core.

        Only where the vectors are then the same to the bit, which is tried for each shape: a runtime may sum in another
        order for larger matrices, and an answer must not depend on who else is asked for (law 2).
        """
        vectors: dict[int, Vector] = {}
        for places in _of_one_length(histories):
            vectors.update(zip(places, self._together([histories[place] for place in places]), strict=True))
        return [vectors[place] for place in range(len(histories))]

    def _together(self, histories: Sequence[HistoryRows]) -> Sequence[Vector]:
        shape = len(histories), len(histories[0].items)
        if self._same_together.get(shape, True):
            vectors = list(self._run(histories))
            if shape in self._same_together or len(histories) == 1:
                return vectors
        alone = [self.encode(history) for history in histories]
        if shape not in self._same_together:
            self._same_together[shape] = all(map(np.array_equal, vectors, alone))
        return alone

    def _run(self, histories: Sequence[HistoryRows]) -> npt.NDArray[np.float32]:
        """The user vectors (len(histories), dim) of histories of one length, not empty."""
        feeds = {
            "items": np.stack([history.items for history in histories]),  # (batch, length), and so the others
            "event_types": np.stack([history.types for history in histories]),
            "gaps": np.stack([history.gaps for history in histories]),
        }
        length, shape = len(histories[0].items), (len(histories), self._dim)
        try:
            user_vectors: npt.NDArray[np.float32] = self._session.run(["user_vectors"], feeds)[0]
        except Exception as error:
            raise BundleBroken(f"the encoder failed on a history of length {length}: {error}") from error
        if user_vectors.shape != shape or not np.isfinite(user_vectors).all():
            raise BundleBroken(f"the encoder gave {user_vectors.shape}, not finite numbers of shape {shape}")
        return user_vectors


def _of_one_length(histories: Sequence[HistoryRows]) -> Iterator[list[int]]:
    """The places of histories that may be encoded together."""
    by_length: dict[int, list[int]] = {}
    for place, history in enumerate(histories):
        by_length.setdefault(len(history.items), []).append(place)
    for places in by_length.values():
        yield from (places[at : at + MAX_TOGETHER] for at in range(0, len(places), MAX_TOGETHER))


def _session_options() -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    # One request is one core's work: throughput comes from worker processes, and more threads only fight them.
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.use_deterministic_compute = True  # law 2
    options.log_severity_level = 3  # errors; they are raised anyway
    return options
