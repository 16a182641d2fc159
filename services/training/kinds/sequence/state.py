"""All that a fit changes: the network, its optimiser, the average, the best so far; and how it is kept between epochs.

Of tables that are delayed each worker has its own rows. The leader writes what is common and its rows, the others files
beside it, two in turn: what they wrote before the leader's file was replaced is of an epoch that never ended.
"""

from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from itertools import count

import torch
from torch import Tensor

from services.training import checkpoint
from services.training.checkpoint import Progress, Resuming, cloned, part, prefixed
from services.training.kinds.sequence.averaging import Average
from services.training.kinds.sequence.network import EncoderNetwork
from services.training.kinds.sequence.optimiser import AdamW
from services.training.kinds.sequence.step_items import StepItems
from services.training.workers import Workers


class FitState:
    def __init__(
        self, network: EncoderNetwork, items: StepItems, weight_decay: float, num_steps: int, workers: Workers
    ) -> None:
        """num_steps: of the whole fit, about."""
        self._network, self._workers = network, workers
        self._device = next(network.parameters()).device
        self._tables = items.delayed
        self._delayed = {id(table.parameter) for table in self._tables}
        self.optimiser = AdamW(network, weight_decay, self._tables)
        self._average = Average(self.optimiser.parameters, num_steps)
        self._best = cloned(self._common())

    def step(self, learning_rate: float) -> None:
        """Down the gradients that there are."""
        self._workers.add_gradients(self.optimiser.parameters)
        self.optimiser.step(learning_rate)
        share = self._average.note()
        for table in self._tables:
            table.note(share)

    @property
    def num_steps(self) -> int:
        return self._average.step

    def settle(self) -> None:
        """After the steps of an epoch, before anything below."""
        for table in self._tables:
            table.settle()

    @contextmanager
    def averaged(self) -> Iterator[None]:
        """Within the block the leader's network is the average of all weights, whole."""
        with ExitStack() as stack:
            stack.enter_context(self._average.applied())
            for table in self._tables:
                stack.enter_context(table.averaged())
            yield

    def keep_best(self) -> None:
        """Within `averaged`: this average is what the fit ends with, if no better one comes."""
        self._best = cloned(self._common())
        for table in self._tables:
            table.keep_best()

    def end(self) -> None:
        """Every worker's network becomes the best average, whole; nothing can follow."""
        for table in self._tables:
            table.end()
        self._network.load_state_dict(self._best, strict=False)

    def save(self, resuming: Resuming, progress: Progress) -> None:
        """Every worker calls it; raises TrainingFailed when the disk has no room, and the old one stays."""
        rows, rank = self._rows(), self._workers.rank
        if not self._workers.leads and rows:
            checkpoint.save(checkpoint.of_worker(resuming.path, rank, progress.epoch), progress, rows)
        self._workers.total(torch.zeros(1, device=self._device))  # all have written
        if self._workers.leads:
            common = {
                **prefixed("network", cloned(self._common())),
                **prefixed("optimiser", cloned(self.optimiser.state())),
                **prefixed("average", cloned(dict(zip(map(str, count()), self._average.values, strict=False)))),
                **prefixed("best", self._best),
            }
            checkpoint.save(resuming.path, progress, {**common, **rows})

    def load(self, resuming: Resuming) -> Progress:
        """From the checkpoint of this very run, if all workers have it; else as at the beginning."""
        found = checkpoint.load(resuming.path, resuming.key)
        rows = found
        if found is not None and self._tables and not self._workers.leads:
            beside = checkpoint.of_worker(resuming.path, self._workers.rank, found[0].epoch)
            rows = checkpoint.load(beside, resuming.key)
        usable = found is not None and rows is not None and self._fits(rows[1]) and rows[0].epoch == found[0].epoch
        num_usable = self._workers.total(torch.tensor(float(usable), device=self._device))
        if found is None or rows is None or int(num_usable) < self._workers.size:
            return Progress(resuming.key)
        progress, tensors = found
        self._network.load_state_dict(part("network", tensors), strict=False)
        self.optimiser.restore(part("optimiser", tensors))
        averaged = part("average", tensors)
        self._average.restore([averaged[str(place)] for place in range(len(averaged))], progress.num_steps)
        self._best = part("best", tensors)
        for number, table in enumerate(self._tables):
            table.restore(part(f"table{number}", rows[1]))
        return progress

    def _common(self) -> dict[str, Tensor]:
        """The parameters that all workers have alike. Content does not change, and comes with the data."""
        return {name: each for name, each in self._network.named_parameters() if id(each) not in self._delayed}

    def _rows(self) -> dict[str, Tensor]:
        return {
            name: tensor
            for number, table in enumerate(self._tables)
            for name, tensor in prefixed(f"table{number}", cloned(table.state())).items()
        }

    def _fits(self, tensors: dict[str, Tensor]) -> bool:
        return all(table.fits(part(f"table{number}", tensors)) for number, table in enumerate(self._tables))
