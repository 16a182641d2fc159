"""Adam and the average of the weights for a table of which a step touches few rows; the others wait.

Adam moves a row on for some steps after its last gradient, and the average follows it for many, so that each step is
about all rows. But what happens to a row without a gradient is known beforehand: after k steps its moments have faded
by BETA1^k and BETA2^k, and how far weight and average have gone depends, but for the moments, only on which step had
its last gradient. So a row is brought up to date when it is next looked at, and the numbers are those of the dense
form, to rounding. (To be exact, epsilon fades with the moments; it matters where gradients are smaller than 1e-7.)
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Final, NamedTuple

import torch
from torch import Tensor

from services.training.kinds.sequence.optimiser import BETA1, BETA2, EPSILON, adamw_step
from services.training.row_exchange import Asked, own_rows, whole_table
from services.training.workers import Workers

FADING: Final = BETA1 / BETA2**0.5  # of how far a row moves, from step to step
REACH: Final = 256  # steps after which a row stands still: FADING^256 is 2e-12
ROWS_AT_ONCE: Final = 65_536  # larger: more memory while all rows are brought up to date; smaller: more calls


class Missed:
    """What a row misses that was last up to date after step s, by s; steps count from when all rows were."""

    def __init__(self, device: torch.device) -> None:
        self.step = 0
        self._moved, self._kept, self._behind = torch.tensor([[0.0], [1.0], [0.0]], device=device)
        self._fading = FADING ** torch.arange(REACH, 0, -1, dtype=torch.float64)
        self._fading = self._fading.float().to(device)

    def note(self, step_size: float, average_weight: float) -> None:
        """After each step: how far Adam goes for a mean over the root of its square of 1, and what the average took."""
        self.step += 1
        if self.step == len(self._moved):
            more = torch.zeros_like(self._moved)
            self._moved, self._kept, self._behind = (
                torch.cat((old, start))
                for old, start in ((self._moved, more), (self._kept, more + 1), (self._behind, more))
            )
        near = slice(max(0, self.step - REACH), self.step)
        self._moved[near] += step_size * self._fading[-(near.stop - near.start) :]
        past = slice(0, self.step)
        self._kept[past] *= 1 - average_weight
        self._behind[past] *= 1 - average_weight
        self._behind[past] += average_weight * self._moved[past]

    def since(self, steps: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """Of rows last up to date after these steps: what they missed, each (n, 1).

        For how many steps, how far they have moved, which share the average of then has in that of now, and how far the
        average has moved.
        """
        steps = steps.long()
        columns = (self.step - steps, self._moved[steps], self._kept[steps], self._behind[steps])
        waited, moved, kept, behind = (column[:, None] for column in columns)
        return waited, moved, kept, behind


class Rows(NamedTuple):
    """Some rows of a table, each (n, dim)."""

    weight: Tensor
    mean: Tensor
    square: Tensor
    average: Tensor

    def bring_up_to_date(self, missed: tuple[Tensor, Tensor, Tensor, Tensor], num_steps: int) -> None:
        """In place, after so many steps in all; missed: as `Missed.since` says."""
        waited, moved, kept, behind = missed
        # The squares are not corrected for their start at 0, so epsilon is.
        epsilon = EPSILON * (1 - BETA2 ** max(num_steps, 1)) ** 0.5
        direction = self.mean / (self.square.sqrt() + epsilon)
        self.average.mul_(kept).addcmul_(self.weight, 1 - kept).addcmul_(direction, behind, value=-1)
        self.weight.addcmul_(direction, moved, value=-1)
        self.mean.mul_(BETA1**waited)
        self.square.mul_(BETA2**waited)


class DelayedTable:
    """The rows of a parameter that this worker owns, see `row_exchange`; while it is fitted it holds these alone."""

    def __init__(self, parameter: Tensor, workers: Workers) -> None:
        self._parameter, self._workers, self._num_rows = parameter, workers, len(parameter)
        parameter.data = own_rows(workers, parameter.data)
        weight = parameter.data
        self._all = Rows(weight, torch.zeros_like(weight), torch.zeros_like(weight), weight.clone())
        self._best = weight.clone()
        self._up_to_date = torch.zeros(len(weight), dtype=torch.int32, device=weight.device)
        self._missed = Missed(weight.device)
        self._num_steps = 0

    @property
    def parameter(self) -> Tensor:
        return self._parameter

    def take(self, rows: Tensor) -> Tensor:
        """What stands in some distinct rows, of whichever worker, (len(rows), dim): a leaf for the step's gradient.

        Every worker calls it in every step, were it with no rows; likewise the next three.
        """
        self._asked = Asked(self._workers, rows)
        self._rows = Rows(*(each[self._asked.own] for each in self._all))
        self._rows.bring_up_to_date(self._missed.since(self._up_to_date[self._asked.own]), self._num_steps)
        self._leaf = self._asked.answered(self._rows.weight).requires_grad_()
        return self._leaf

    def collect(self) -> Tensor:
        """After backward: the squared length of the gradient of all rows, of all workers."""
        self._gradient = self._asked.added(torch.zeros_like(self._leaf) if self._leaf.grad is None else self._leaf.grad)
        return self._workers.total(self._gradient.square().sum())

    def step(self, learning_rate: float, scale: Tensor) -> None:
        """Changes the rows that were taken, down their gradient times `scale`."""
        weight, mean, square, _ = self._rows
        num_before = torch.tensor(float(self._num_steps), device=weight.device)
        adamw_step([weight], [self._gradient * scale], [mean], [square], [num_before], learning_rate, 0.0)
        self._num_steps += 1
        self._step_size = learning_rate * (1 - BETA2**self._num_steps) ** 0.5 / (1 - BETA1**self._num_steps)

    def note(self, average_weight: float) -> None:
        """After `step`: the average takes so much of the weights, and the rows are put back."""
        self._rows.average.lerp_(self._rows.weight, average_weight)
        self._missed.note(self._step_size, average_weight)
        for table, rows in zip(self._all, self._rows, strict=True):
            table[self._asked.own] = rows
        self._up_to_date[self._asked.own] = self._missed.step

    def settle(self) -> None:
        """Brings all rows up to date."""
        for first in range(0, len(self._up_to_date), ROWS_AT_ONCE):
            which = slice(first, first + ROWS_AT_ONCE)
            rows = Rows(*(each[which] for each in self._all))
            rows.bring_up_to_date(self._missed.since(self._up_to_date[which]), self._num_steps)
        self._up_to_date.zero_()
        self._missed = Missed(self._up_to_date.device)

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the leader's parameter is the whole table of averages; of a settled table."""
        weight = self._parameter.data
        self._parameter.data = whole_table(self._workers, self._all.average, self._num_rows)
        try:
            yield
        finally:
            self._parameter.data = weight

    def keep_best(self) -> None:
        self._best.copy_(self._all.average)

    def end(self) -> None:
        """The parameter becomes the whole table of the best averages, for all workers; nothing can follow."""
        best, workers, num_rows = self._best, self._workers, self._num_rows
        self._parameter.data = torch.empty(0, device=best.device)
        del self._all, self._rows, self._best
        self._parameter.data = whole_table(workers, best, num_rows, for_all=True)

    def state(self) -> dict[str, Tensor]:
        """Of this worker's rows, once settled; the tensors themselves."""
        return {**self._all._asdict(), "best": self._best, "num_steps": torch.tensor([self._num_steps])}

    def fits(self, state: Mapping[str, Tensor]) -> bool:
        """Whether a state is of so many rows: that of another number of workers is not."""
        return all(name in state and state[name].shape == tensor.shape for name, tensor in self.state().items())

    def restore(self, state: Mapping[str, Tensor]) -> None:
        for name, tensor in self.state().items():
            tensor.copy_(state[name])
        self._num_steps = int(state["num_steps"])
