"""Training sequences cut into windows and gathered into right-padded batches of like length. numpy only."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Final, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from services.domain.history_input import HistoryRows, gap_rows
from services.features.history import Rows
from services.training.data.dataset import TrainingSequences, Weights
from services.training.model import History

SIZES_AN_OCTAVE: Final = 16  # larger: each shape is computed and remembered anew; smaller: more padding
LENGTH_JITTER: Final = 0.15  # larger: more padding; smaller: the same users meet in a batch every epoch

T = TypeVar("T")
U = TypeVar("U")


class Batch(NamedTuple):
    """Windows side by side, and what is asked of them: target n at place places[n] of window lines[n].

    All int64 but the weights, which are float32. Lengths and numbers of targets are rounded up, see `rounded`: targets
    that are there for that alone have a weight of 0.
    """

    items: Rows
    """(batch, length); 0 pads on the right, and so in types and gaps."""
    types: Rows
    gaps: Rows
    lines: Rows
    """(num_targets,), as are the next four."""
    places: Rows
    targets: Rows
    disliked: Rows
    """An item row that the window's user spoke against; 0 for none."""
    weights: Weights


def plan_epoch(
    sequences: TrainingSequences, max_history: int, batch_events: int, random: np.random.Generator
) -> list[Rows]:
    """One pass over every target, as batches of windows: each int64 (batch, 2), where a window starts and stops.

    A window is at most max_history events of one user; a batch has at most batch_events places, padding counted, and
    one window at least. Where a long history is cut moves from epoch to epoch, so each target is asked for with short
    and long pasts. That is augmentation: before a target a window shows the newest part of what `assembly` puts there,
    and nothing else. Windows of like length share a batch; batches come in any order.
    """
    windows = _windows(sequences.starts, max_history, random)
    windows = windows[np.diff(np.searchsorted(sequences.asked, windows), axis=1)[:, 0] > 0]  # those that ask something
    lengths = windows[:, 1] - windows[:, 0]
    jitter = random.uniform(0, LENGTH_JITTER, len(windows)) * lengths + random.random(len(windows)) / 2
    windows = windows[np.argsort(lengths + jitter, kind="stable")]
    batches = _cut(windows, batch_events)
    return [batches[index] for index in random.permutation(len(batches))]


class Batcher:
    """Makes batches of the windows of some sequences."""

    def __init__(self, sequences: TrainingSequences, random: np.random.Generator) -> None:
        self._sequences, self._random = sequences, random
        self._gaps = _gaps_of_all(sequences)
        against = np.flatnonzero(sequences.weights < 0)
        users = sequences.user_rows[against] if len(against) else against
        self._disliked = sequences.items[against]
        self._disliked_starts = np.searchsorted(users, np.arange(len(sequences.starts)))

    def gather(self, windows: Rows) -> Batch:
        """The events of a batch's windows, and the targets asked within them; no windows make a batch of nothing."""
        sequences = self._sequences
        firsts, lasts = np.searchsorted(sequences.asked, windows.T)  # of each window's targets, int64 (batch,)
        lines = np.repeat(np.arange(len(windows)), lasts - firsts)
        chosen = _ranges(firsts, lasts)
        wanted = sequences.wanted[chosen]
        gaps = _spans(self._gaps, windows)
        gaps[:, :1] = 0  # the event before is outside of the window
        of_targets = (
            lines,
            sequences.asked[chosen] - windows[lines, 0],
            sequences.items[wanted].astype(np.int64),
            self._dislikes(windows)[lines],
            sequences.weights[wanted],
        )
        num_fillers = rounded(len(chosen)) - len(chosen)
        fillers = (0, 0, 1, 0, 0.0)  # any place, any item, no weight
        return Batch(
            _spans(sequences.items, windows),
            _spans(sequences.types, windows),
            gaps,
            *(
                np.concatenate((column, np.full(num_fillers, filler, column.dtype)))
                for column, filler in zip(of_targets, fillers, strict=True)
            ),
        )

    def _dislikes(self, windows: Rows) -> Rows:
        """An item each window's user spoke against, drawn from all they ever did: int64 (batch,), 0 for none."""
        if not len(self._disliked):
            return np.zeros(len(windows), np.int64)
        users = np.searchsorted(self._sequences.starts, windows[:, 0], side="right") - 1
        first, last = self._disliked_starts[users], self._disliked_starts[users + 1]
        drawn = first + (self._random.random(len(windows)) * (last - first)).astype(np.int64)
        rows: Rows = np.where(last > first, self._disliked[np.minimum(drawn, len(self._disliked) - 1)], 0)
        return rows.astype(np.int64)


def prefetched(make: Callable[[T], U], inputs: Iterable[T]) -> Iterator[U]:
    """What `make` gives for each input, in order; the next one is made while the caller works on this one."""
    with ThreadPoolExecutor(1) as pool:
        coming = None
        for each in inputs:
            following = pool.submit(make, each)
            if coming is not None:
                yield coming.result()
            coming = following
        if coming is not None:
            yield coming.result()


def pad(rows: Sequence[npt.NDArray[np.int64]]) -> Rows:
    """Lays sequences side by side, int64 (batch, longest), zeros on the right."""
    padded = np.zeros((len(rows), max(map(len, rows))), np.int64)
    for line, sequence in zip(padded, rows, strict=True):
        line[: len(sequence)] = sequence
    return padded


def pad_histories(histories: Sequence[History]) -> HistoryRows:
    """Several histories side by side, each part int64 (batch, longest)."""
    return HistoryRows(*(pad(column) for column in zip(*histories, strict=True)))


def _gaps_of_all(sequences: TrainingSequences) -> npt.NDArray[np.int8]:
    gaps = gap_rows(sequences.times_us).astype(np.int8)
    gaps[sequences.starts[:-1][np.diff(sequences.starts) > 0]] = 0
    return gaps


def _windows(starts: Rows, max_history: int, random: np.random.Generator) -> Rows:
    sizes = np.diff(starts)
    users = np.flatnonzero(sizes)
    shifts = np.where(sizes[users] > max_history, random.integers(max_history, size=len(users)), 0)
    num_windows = -(-(sizes[users] + shifts) // max_history)
    of_user = np.repeat(np.arange(len(users)), num_windows)
    numbers = np.arange(len(of_user)) - np.repeat(np.cumsum(num_windows) - num_windows, num_windows)
    cuts = starts[users][of_user] - shifts[of_user] + numbers * max_history
    return np.stack(
        (np.maximum(cuts, starts[users][of_user]), np.minimum(cuts + max_history, starts[users + 1][of_user])), axis=1
    )


def rounded(size: int) -> int:
    """Up to one of few sizes, by at most a sixteenth.

    What computes on arrays keeps something for each shape it has met, and memory freed by one shape seldom fits the
    next: with shapes as they came an epoch of long histories took 10 GB.
    """
    step = 1 << max(0, (size // SIZES_AN_OCTAVE).bit_length() - 1)
    return -(-size // step) * step


def _cut(windows: Rows, batch_events: int) -> list[Rows]:
    """Batches of neighbouring windows, each with at most batch_events places where more than one window shares it."""
    batches, first, longest = [], 0, 0
    lengths = (windows[:, 1] - windows[:, 0]).tolist()
    for place, length in enumerate(lengths):
        longest_then = max(longest, rounded(length))
        if place > first and longest_then * (place - first + 1) > batch_events:
            batches.append(windows[first:place])
            first, longest_then = place, rounded(length)
        longest = longest_then
    return [*batches, windows[first:]] if len(windows) else []


def _spans(column: npt.NDArray[np.signedinteger], windows: Rows) -> Rows:
    """The column's values within each window, int64 (batch, longest, rounded), zeros on the right."""
    starts, stops = windows[:, :1], windows[:, 1:]
    positions = starts + np.arange(rounded(int((stops - starts).max(initial=0))))
    values: Rows = np.where(positions < stops, column[np.minimum(positions, len(column) - 1)], 0).astype(np.int64)
    return values


def _ranges(firsts: Rows, lasts: Rows) -> Rows:
    """firsts[0] to lasts[0], then firsts[1] to lasts[1], and so on; lasts are outside."""
    sizes = lasts - firsts
    ends = np.cumsum(sizes)
    ranges: Rows = np.arange(int(sizes.sum())) + np.repeat(firsts - (ends - sizes), sizes)
    return ranges
