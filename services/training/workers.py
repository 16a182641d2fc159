"""Several processes that fit one network: each takes its share of every batch, and all make the same step.

Under `torchrun` or Ray Train the environment says who is who; alone there is one worker, and nothing is sent.
"""

import atexit
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch
from torch import Tensor, distributed, nn

from services.domain.errors import TrainingFailed
from services.features.history import Rows

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class Workers:
    rank: int = 0
    size: int = 1

    @classmethod
    def of_environment(cls) -> "Workers":
        """Joins the group that the environment names, once; alone where it names none."""
        if not distributed.is_available():
            return cls()
        if not distributed.is_initialized():
            if int(os.environ.get("WORLD_SIZE", "1")) < 2:
                return cls()
            distributed.init_process_group("nccl" if torch.cuda.is_available() else "gloo")
            # Else its threads outlive the interpreter, and one process in ten is aborted though all its work is done.
            atexit.register(distributed.destroy_process_group)
        return cls(distributed.get_rank(), distributed.get_world_size())

    @property
    def leads(self) -> bool:
        """True for the one that measures, reports and saves."""
        return self.rank == 0

    def share(self, windows: Rows) -> Rows:
        """The windows of a batch that are this worker's; of a batch of fewer windows than workers, some get none."""
        return windows[self.rank :: self.size]

    def total(self, value: Tensor) -> Tensor:
        """The sum over all workers."""
        if self.size > 1:
            distributed.all_reduce(value)
        return value

    def add_gradients(self, parameters: Sequence[nn.Parameter]) -> None:
        """Makes every worker's gradients the sum of all of them, in one message."""
        if self.size == 1:
            return
        gradients = [torch.zeros_like(each) if each.grad is None else each.grad for each in parameters]
        flat = torch.cat([gradient.reshape(-1) for gradient in gradients])
        distributed.all_reduce(flat)
        for parameter, summed in zip(parameters, torch.split(flat, [each.numel() for each in parameters]), strict=True):
            parameter.grad = summed.view_as(parameter)

    def agree(self, value: T) -> T:
        """The leader's value, for all."""
        if self.size == 1:
            return value
        told = [value]
        distributed.broadcast_object_list(told, 0)
        return told[0]

    def gather(self, value: T) -> list[T]:
        """Everybody's value, in order of rank."""
        if self.size == 1:
            return [value]
        values: list[T] = [value] * self.size
        distributed.all_gather_object(values, value)
        return values

    @contextmanager
    def in_turn(self) -> Iterator[None]:
        """The leader does what is in the block, and then the others do."""
        if not self.leads:
            self.agree("go on")
        yield
        if self.leads:
            self.agree("go on")

    def must_share(self, what: str, value: str) -> None:
        """Raises TrainingFailed on every worker that has another value than the leader."""
        if self.agree(value) != value:
            raise TrainingFailed(f"The workers do not see the same {what}; start them again, all on one log.")
