"""A batch that does not fit into memory is worked out in parts, whose gradients add up to the same step."""

from collections.abc import Callable, Iterator
from typing import Final, NamedTuple, TypeVar

import structlog
import torch
from torch import Tensor

from services.domain.errors import TrainingFailed

log = structlog.get_logger(__name__)

T = TypeVar("T")

FACTOR: Final = 2  # times as many parts when they do not fit. Larger: parts too small to be fast; smaller: more tries


class Columns(NamedTuple):
    """`batches.Batch` as tensors on the device."""

    items: Tensor
    types: Tensor
    gaps: Tensor
    lines: Tensor
    places: Tensor
    targets: Tensor
    disliked: Tensor
    weights: Tensor

    def parts(self, num_parts: int) -> Iterator["Columns"]:
        """Every window with what is asked of it in one part; windows of all lengths in each."""
        if num_parts == 1:
            yield self
            return
        for part in range(num_parts):
            asked = self.lines % num_parts == part
            windows = (column[part::num_parts] for column in self[:3])
            of_targets = (column[asked] for column in self[4:])
            yield Columns._make([*windows, self.lines[asked] // num_parts, *of_targets])


class Room:
    """Into how many parts batches are divided; once that were too few, the rest of the fit has more."""

    def __init__(self) -> None:
        self.num_parts = 1

    def within(self, num_windows: int, work: Callable[[int], T]) -> T:
        """What `work` makes of so many parts; tried again with more of them where memory runs out.

        `work` must start anew each time. Raises TrainingFailed when a lone window does not fit.
        """
        while True:
            try:
                return work(self.num_parts)
            except torch.OutOfMemoryError as error:
                message = str(error)
            # Out here nothing refers to what the failed try held.
            if self.num_parts >= num_windows:
                raise TrainingFailed(
                    "The device has no memory for a single history; lower NIGHTJAR_TRAIN__MAX_HISTORY, "
                    f"NIGHTJAR_TRAIN__DIM or NIGHTJAR_TRAIN__NUM_NEGATIVES, or free memory on it: {message}"
                )
            self.num_parts *= FACTOR
            if torch.cuda.is_available():
                torch.cuda.empty_cache()
            log.warning("batch_did_not_fit", num_parts=self.num_parts, error=message)
