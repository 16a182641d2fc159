"""A bundle's files scoring as serving does: what is proved before a bundle is published, and judged of one that was."""

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Final, TypeAlias

import numpy as np
import onnxruntime
from safetensors import SafetensorError
from safetensors.numpy import load_file

from services.domain.bundle_tables import TableSizes, check_tables
from services.domain.bundles import ENCODER, TABLES, Scoring, scoring_of
from services.domain.errors import BundleBroken
from services.domain.scoring import FoldIn, Neighbours, Tables
from services.domain.vocabulary import Vocabulary
from services.training.model import Floats, History

BATCH: Final = 256  # histories that are encoded at once. Larger: more memory; smaller: slower

INPUTS: Final = ("items", "event_types", "gaps")
"""Of the graph, in the order of a history's columns."""

_Scores: TypeAlias = Callable[[Sequence[History]], Floats]
"""The scores of all items, (len(histories), num_items), or of an encoder the user vectors."""


class Served:
    """Scores by the tables and the graph alone, on the CPU. No history may be empty."""

    def __init__(
        self, folder: Path, kind: str, dim: int, vocabulary: Vocabulary, num_threads: int | None = None
    ) -> None:
        """Reads the files but the manifest, no sum compared; raises BundleBroken.

        num_threads: of an encoder; None: of the machine's.
        """
        scoring = scoring_of(kind)
        try:
            self.tables: Tables = load_file(folder / TABLES)
        except (OSError, SafetensorError) as error:
            raise BundleBroken(f"{TABLES} in {folder} cannot be read: {error}") from error
        check_tables(self.tables, scoring, TableSizes(len(vocabulary.item_ids), dim, len(vocabulary.event_type_labels)))
        if scoring is Scoring.ENCODED:
            self.encode = _encoder(folder, dim, num_threads)
            self._scores: _Scores = lambda histories: self.encode(histories) @ self.tables["item_vectors"].T
        else:
            self._scores = _SCORES[scoring](self.tables)

    def score(self, histories: Sequence[History], /) -> Floats:
        """(len(histories), num_items); raises BundleBroken when the files cannot answer."""
        return self._scores(histories)

    @property
    def popularity(self) -> Floats:
        """(num_items,), what a user without history gets."""
        popularity: Floats = self.tables["popularity"]
        return popularity

    @property
    def item_vectors(self) -> Floats:
        """(num_items, dim); without a dimension for a kind that has none."""
        return self.tables.get("item_vectors", np.empty((len(self.popularity), 0), np.float32))


def _encoder(folder: Path, dim: int, num_threads: int | None) -> _Scores:
    """The user vectors, (len(histories), dim)."""
    try:
        options = _session_options(num_threads)
        session = onnxruntime.InferenceSession(folder / ENCODER, options, providers=["CPUExecutionProvider"])
    except Exception as error:  # its errors have no root of their own
        raise BundleBroken(f"ONNX Runtime cannot load {ENCODER} in {folder}: {error}") from error

    def of_one_length(histories: Sequence[History]) -> Floats:
        columns = zip(*histories, strict=True)
        # One alone is what a plan is timed by, and is not copied, as in serving; each (batch, length).
        batch = [column[0][np.newaxis] if len(column) == 1 else np.stack(column) for column in columns]
        try:
            users: Floats = session.run(["user_vectors"], dict(zip(INPUTS, batch, strict=True)))[0]
        except Exception as error:
            raise BundleBroken(
                f"the encoder failed on histories of length {len(histories[0].items)}: {error}"
            ) from error
        return users

    def encode(histories: Sequence[History]) -> Floats:
        if len(histories) == 1:
            return of_one_length(histories)
        users = np.empty((len(histories), dim), np.float32)
        for places in _of_like_length(histories):
            users[places] = of_one_length([histories[place] for place in places])
        return users

    return encode


def _session_options(num_threads: int | None) -> onnxruntime.SessionOptions:
    """Of the machine's, so that many histories take no longer than they must; as serving's, but for the cores."""
    options = onnxruntime.SessionOptions()
    if num_threads is not None:
        options.intra_op_num_threads = num_threads
    options.use_deterministic_compute = True  # equal versions are to differ by nothing
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")  # cores are shared with other processes
    options.log_severity_level = 3  # errors; they are raised anyway
    return options


def _of_like_length(histories: Sequence[History]) -> Iterator[list[int]]:
    """The places of at most BATCH histories at a time, all of one length: the graph knows no padding."""
    lengths = np.array([len(history.items) for history in histories])
    for length in np.unique(lengths):
        places = np.flatnonzero(lengths == length).tolist()
        yield from (places[first : first + BATCH] for first in range(0, len(places), BATCH))


def _folded_in(tables: Tables) -> _Scores:
    fold_in = FoldIn.of(tables)

    def scores(histories: Sequence[History]) -> Floats:
        found: Floats = np.stack([fold_in.encode(history) for history in histories]) @ tables["item_vectors"].T
        return found

    return scores


def _by_neighbours(tables: Tables) -> _Scores:
    neighbours = Neighbours.of(tables)
    return lambda histories: np.stack([neighbours.scores(history) for history in histories])


def _popular(tables: Tables) -> _Scores:
    return lambda histories: np.broadcast_to(tables["popularity"], (len(histories), len(tables["popularity"])))


_SCORES: Final[Mapping[Scoring, Callable[[Tables], _Scores]]] = {
    Scoring.POPULAR: _popular,
    Scoring.FOLDED_IN: _folded_in,
    Scoring.NEIGHBOURS: _by_neighbours,
}
