"""The average of the weights over the last steps: steadier than the weights themselves, which swing with every batch.

Source: Polyak & Juditsky, 1992; the exponential form as usual since Adam, with a start that forgets its first steps.
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Final

import torch
from torch import Tensor, nn

SPAN: Final = 1 / 6  # of all steps that the average reaches back. Larger: the end comes too late; smaller: it swings


class Average:
    """A moving average of some parameters."""

    def __init__(self, parameters: Sequence[nn.Parameter], num_steps: int) -> None:
        self._parameters = list(parameters)
        self._decay = 1.0 - 1.0 / max(1.0, SPAN * num_steps)
        self.values = [each.detach().clone() for each in parameters]
        self.step = 0

    def note(self) -> float:
        """After each step of the optimiser; returns how much of the weights the average takes, 0 to 1."""
        self.step += 1
        weight = 1.0 - min(self._decay, (1 + self.step) / (10 + self.step))
        with torch.no_grad():
            for value, parameter in zip(self.values, self._parameters, strict=True):
                value.lerp_(parameter, weight)
        return weight

    @contextmanager
    def applied(self) -> Iterator[None]:
        """Within the block the parameters are the average, and after it what they were."""
        kept = [each.detach().clone() for each in self._parameters]
        self._put(self.values)
        try:
            yield
        finally:
            self._put(kept)

    def restore(self, values: Sequence[Tensor], step: int) -> None:
        for value, stored in zip(self.values, values, strict=True):
            value.copy_(stored)
        self.step = step

    def _put(self, values: Sequence[Tensor]) -> None:
        with torch.no_grad():
            for parameter, value in zip(self._parameters, values, strict=True):
                parameter.copy_(value)
