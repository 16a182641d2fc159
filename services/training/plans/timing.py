"""What an answer takes of a core, plan beside plan: in turns, so that what else the machine does meets all alike."""

import time
from collections.abc import Callable, Sequence
from typing import Final, NamedTuple, TypeAlias

import numpy as np
import torch

from services.training.model import Floats, History

Encode: TypeAlias = Callable[[Sequence[History]], Floats]
"""(len(histories), dim); no history is empty."""
BEST: Final = 20
NUM_WARMING: Final = 10  # larger: idle work; smaller: first calls, which plan memory, are counted


class Cost(NamedTuple):
    """Times of the thread on a core, one history at a time; not the clock's, which others' work makes longer."""

    encode_core_us: float
    """The median: one call in a hundred is disturbed, and says nothing of a plan."""
    answer_core_us: float
    answer_p50_ms: float
    answer_p99_ms: float


def timed(encoders: Sequence[Encode], histories: Sequence[History], item_vectors: Floats) -> list[Cost]:
    """A cost each; 0 where there is no history to encode. Torch computes on one thread meanwhile, as a worker does.

    Of an encoder on a GPU only what the calling thread does is seen.
    """
    if not histories:
        return [Cost(0.0, 0.0, 0.0, 0.0) for _ in encoders]
    taken_s = np.empty((len(encoders), len(histories), 2))  # to encode, and to answer
    num_threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for encode in encoders:
            for history in histories[:NUM_WARMING]:
                encode([history])
        for place, history in enumerate(histories):
            for number, encode in enumerate(encoders):
                taken_s[number, place] = _answer(encode, history, item_vectors)
    finally:
        torch.set_num_threads(num_threads)
    return [_cost(each) for each in taken_s]


def _answer(encode: Encode, history: History, item_vectors: Floats) -> tuple[float, float]:
    start = time.thread_time()
    user_vector = encode([history])[0]
    encoded = time.thread_time()
    scores = item_vectors @ user_vector
    best = np.argpartition(-scores, min(BEST, len(scores) - 1))[:BEST]
    best[np.argsort(-scores[best], kind="stable")]
    return encoded - start, time.thread_time() - start


def _cost(taken_s: np.ndarray[tuple[int, ...], np.dtype[np.float64]]) -> Cost:
    encode_s, answer_s = taken_s.T
    p50_s, p99_s = np.percentile(answer_s, (50, 99))
    return Cost(1e6 * float(np.median(encode_s)), 1e6 * float(p50_s), 1e3 * float(p50_s), 1e3 * float(p99_s))
