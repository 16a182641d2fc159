"""Training sequences cut into windows and gathered into right-padded batches of like length. numpy only."""

from collections.abc import Sequence
from itertools import pairwise
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from services.domain.history_input import HistoryRows, gap_rows
from services.features.history import Rows
from services.training.data.dataset import TrainingSequences, Weights
from services.training.model import History


class Batch(NamedTuple):
    """Windows side by side, and what is asked of them: target n at place places[n] of window lines[n].

    All int64 but the weights, which are float32.
    """

    items: Rows
    """(batch, length); 0 pads on the right, and so in types and gaps."""
    types: Rows
    gaps: Rows
    lines: Rows
    """(num_targets,), as are the next three."""
    places: Rows
    targets: Rows
    weights: Weights


def plan_epoch(starts: Rows, max_history: int, batch_size: int, random: np.random.Generator) -> list[Rows]:
    """One pass over every event, as batches of windows: each int64 (batch, 2), where a window starts and stops.

    A window is at most max_history events of one user. Where a long history is cut moves from epoch to epoch, so each
    event is learned from with short and long pasts. That is augmentation: before a target a window shows the newest
    part of what `dataset` puts there, and nothing else. Windows of like length share a batch; batches come in any
    order.
    """
    windows = _windows(starts, max_history, random)
    lengths = windows[:, 1] - windows[:, 0]
    order = np.argsort(lengths + random.uniform(0, JITTER * max_history, len(windows)), kind="stable")
    batches = [windows[order[first : first + batch_size]] for first in range(0, len(order), batch_size)]
    return [batches[index] for index in random.permutation(len(batches))]


JITTER = 0.1  # larger: more padding; smaller: the same users meet in a batch every epoch


def gather(sequences: TrainingSequences, windows: Rows) -> Batch:
    """The events of a batch's windows, and the targets asked within them."""
    spans = [slice(start, stop) for start, stop in windows]
    firsts, lasts = np.searchsorted(sequences.asked, windows.T)  # of each window's targets, int64 (batch,)
    lines = np.repeat(np.arange(len(windows)), lasts - firsts)
    chosen = np.concatenate([np.arange(first, last) for first, last in zip(firsts, lasts, strict=True)])
    wanted = sequences.wanted[chosen]
    return Batch(
        items=pad([sequences.items[span] for span in spans]),
        types=pad([sequences.types[span] for span in spans]),
        gaps=pad([gap_rows(sequences.times_us[span]) for span in spans]),
        lines=lines,
        places=sequences.asked[chosen] - windows[lines, 0],
        targets=sequences.items[wanted].astype(np.int64),
        weights=sequences.weights[wanted],
    )


def pad(rows: Sequence[npt.NDArray[Any]]) -> Rows:
    """Lays sequences side by side, int64 (batch, longest), zeros on the right."""
    padded = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for line, sequence in zip(padded, rows, strict=True):
        line[: len(sequence)] = sequence
    return padded


def pad_histories(histories: Sequence[History]) -> HistoryRows:
    """Several histories side by side, each part int64 (batch, longest)."""
    return HistoryRows(*(pad(column) for column in zip(*histories, strict=True)))


def _windows(starts: Rows, max_history: int, random: np.random.Generator) -> Rows:
    bounds = []
    for start, stop in pairwise(starts):
        shift = int(random.integers(max_history)) if stop - start > max_history else 0
        cuts = np.arange(start - shift, stop, max_history)
        bounds.append(np.stack((np.maximum(cuts, start), np.minimum(cuts + max_history, stop)), axis=1))
    windows = np.concatenate(bounds)
    return windows[windows[:, 1] > windows[:, 0]]
