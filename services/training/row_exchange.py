"""The rows of a table that is spread over workers: row r is the r // size-th of worker r % size.

In a step each worker asks the owners for the rows it needs, works on what they answer, and gives its gradients back;
owners add up what comes. What is sent grows with a batch and not with the table. Alone, nothing is sent.
"""

import torch
from torch import Tensor, distributed

from services.training.workers import Workers


class Asked:
    """One step's questions and answers; each method waits for all workers."""

    def __init__(self, workers: Workers, rows: Tensor) -> None:
        """rows: distinct, int64 (num_rows,), which may be none."""
        self._workers = workers
        self.own = rows
        """The distinct rows that somebody asked this worker for, counted as its own, (num_own,)."""
        if workers.size == 1:
            return
        owners = rows % workers.size
        self._order = torch.argsort(owners, stable=True)
        to_each = torch.bincount(owners, minlength=workers.size)
        from_each = torch.empty_like(to_each)
        distributed.all_to_all_single(from_each, to_each)
        self._to_each, self._from_each = to_each.tolist(), from_each.tolist()
        asked = self._sent((rows // workers.size)[self._order], self._to_each, self._from_each)
        self.own, self._places = torch.unique(asked, return_inverse=True)

    def answered(self, values: Tensor) -> Tensor:
        """What all have answered, (num_rows, dim); values: what stands in this worker's `own` rows, (num_own, dim)."""
        if self._workers.size == 1:
            return values.clone()
        received = self._sent(values[self._places], self._from_each, self._to_each)
        answers = torch.empty_like(received)
        answers[self._order] = received
        return answers

    def added(self, gradients: Tensor) -> Tensor:
        """The sums of what all have for this worker's `own` rows, (num_own, dim); gradients: (num_rows, dim)."""
        if self._workers.size == 1:
            return gradients
        received = self._sent(gradients[self._order], self._to_each, self._from_each)
        return received.new_zeros(len(self.own), received.shape[1]).index_add_(0, self._places, received)

    @staticmethod
    def _sent(values: Tensor, to_each: list[int], from_each: list[int]) -> Tensor:
        received = values.new_empty(sum(from_each), *values.shape[1:])
        distributed.all_to_all_single(received, values, from_each, to_each)
        return received


def own_rows(workers: Workers, whole: Tensor) -> Tensor:
    """What one worker owns of a table that all have: a copy, or the table itself where one worker has all."""
    return whole[workers.rank :: workers.size].clone() if workers.size > 1 else whole


def whole_table(workers: Workers, own: Tensor, num_rows: int, *, for_all: bool = False) -> Tensor:
    """The table again, (num_rows, dim), at the leader, or for all; others get their own rows back.

    Of one worker it is the same tensor, not a copy. Parts go one after the other, so that nobody holds more than the
    table and a part.
    """
    if workers.size == 1:
        return own
    whole = own.new_empty(num_rows, *own.shape[1:]) if workers.leads or for_all else own
    for rank in range(workers.size):
        part = own if rank == workers.rank else own.new_empty(-(-(num_rows - rank) // workers.size), *own.shape[1:])
        if for_all:
            distributed.broadcast(part, rank)
        elif rank:
            _to_leader(workers, part, rank)
        if whole is not own:
            whole[rank :: workers.size] = part
    return whole


def _to_leader(workers: Workers, part: Tensor, rank: int) -> None:
    if workers.leads:
        distributed.recv(part, rank)
    elif workers.rank == rank:
        distributed.send(part, 0)
