"""How the network is fitted: epochs over windows, a look at the validation part, and when to stop."""

import time
from collections.abc import Callable, Iterable
from dataclasses import replace

import numpy as np
import torch
from torch import Tensor

from services.domain.errors import TrainingFailed
from services.training.checkpoint import Progress, Resuming
from services.training.data.dataset import TrainingSequences
from services.training.kinds.sequence.batches import Batch, Batcher, plan_epoch, prefetched
from services.training.kinds.sequence.loss import next_item_loss
from services.training.kinds.sequence.network import EncoderNetwork
from services.training.kinds.sequence.optimiser import learning_rate_factor
from services.training.kinds.sequence.options import EncoderOptions
from services.training.kinds.sequence.parts import Columns, Room
from services.training.kinds.sequence.state import FitState
from services.training.kinds.sequence.step_items import StepItems
from services.training.model import EpochReport, FitEnd
from services.training.workers import Workers

Validate = Callable[[], float | None]
"""NDCG@10 of the network as it is; None when nothing can be predicted."""


class Fitting:
    """One fit of a network to some sequences; `run` does it."""

    def __init__(
        self,
        network: EncoderNetwork,
        sequences: TrainingSequences,
        options: EncoderOptions,
        batch_events: int,
        validate: Validate,
        resuming: Resuming | None = None,
    ) -> None:
        self._network, self._sequences, self._options = network, sequences, options
        self._batch_events, self._validate, self._resuming = batch_events, validate, resuming
        self._device = next(network.parameters()).device
        self._products = torch.autocast(
            self._device.type, torch.bfloat16, enabled=in_bfloat16(options.precision, self._device)
        )
        self._workers = Workers.of_environment()
        self._chosen_items = torch.from_numpy(np.unique(sequences.items).astype(np.int64)).to(self._device)
        num_negatives = options.num_negatives or len(self._chosen_items)
        self._items = StepItems(
            network.item_table, batch_events + num_negatives, self._workers, shard=options.shard_items
        )
        self._room = Room()
        num_steps = len(sequences.items) / batch_events * options.max_epochs
        self._state = FitState(network, self._items, options.weight_decay, int(num_steps), self._workers)

    def run(self, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        """Fits; the network ends with the averaged weights of the epoch that had the best validation NDCG@10.

        Where no validation event can be predicted, it ends with those of the last epoch.
        """
        options, progress = self._options, self._state.load(self._resuming) if self._resuming else Progress("")
        started, end = time.monotonic() - progress.elapsed_s, FitEnd.COMPLETED
        while progress.epoch < options.max_epochs:
            if progress.epoch - progress.best_epoch >= options.patience:
                end = FitEnd.NO_LONGER_BETTER
                break
            if progress.epoch and self._workers.agree(progress.elapsed_s) >= options.max_seconds:
                end = FitEnd.TIME_LIMIT
                break
            epoch, epoch_started = progress.epoch + 1, time.monotonic()
            loss = self._run_epoch(epoch)
            examples_per_s = len(self._sequences.items) / (time.monotonic() - epoch_started)
            self._state.settle()
            with self._state.averaged():
                valid_ndcg = self._workers.agree(self._validate() if self._workers.leads else None)
                is_best = valid_ndcg is None or valid_ndcg > progress.best_ndcg
                if is_best:
                    self._state.keep_best()
            progress = replace(
                progress, epoch=epoch, num_steps=self._state.num_steps, elapsed_s=time.monotonic() - started
            )
            if is_best:
                progress = replace(progress, best_ndcg=valid_ndcg or 0.0, best_epoch=epoch)
            if self._resuming is not None:
                self._state.save(self._resuming, progress)
            if self._workers.leads:
                on_epoch(
                    EpochReport(epoch, options.max_epochs, loss, valid_ndcg or 0.0, examples_per_s, progress.elapsed_s)
                )
        self._state.end()
        self._network.eval()
        return end

    def _run_epoch(self, epoch: int) -> float:
        """One step a batch; returns the mean loss in nats. What is random in it follows from seed and epoch."""
        options = self._options
        torch.manual_seed(options.seed * 1_000_003 + epoch)
        random = np.random.default_rng((options.seed, epoch))
        draws = torch.Generator().manual_seed(options.seed * 1_000_003 + epoch)
        plan = plan_epoch(self._sequences, options.max_history, self._batch_events, random)
        batcher = Batcher(self._sequences, random)
        self._network.train()
        sums = torch.zeros(2, device=self._device)  # loss times weight, weight
        for index, batch in enumerate(prefetched(batcher.gather, map(self._workers.share, plan))):
            progress = (epoch - 1 + (index + 0.5) / len(plan)) / options.max_epochs
            sums += self._step(batch, self._negatives(draws), options.learning_rate * learning_rate_factor(progress))
        self._network.eval()
        mean = float(sums[0] / sums[1])
        if not np.isfinite(mean):
            raise TrainingFailed(
                f"The loss became {mean} in epoch {epoch}; lower NIGHTJAR_TRAIN__LEARNING_RATE and train again."
            )
        return mean

    def _step(self, batch: Batch, negatives: Tensor, learning_rate: float) -> Tensor:
        """Steps down the gradient of the mean loss of all workers; returns loss times weight, and weight: (2,)."""
        columns = Columns(*(torch.from_numpy(column).to(self._device) for column in batch))
        total = self._workers.total(columns.weights.sum())
        if float(total) == 0:  # nothing is asked of anybody
            return torch.zeros(2, device=self._device)
        asked = columns.items, columns.targets, negatives, columns.disliked
        item_vectors, (items, targets, negatives, disliked) = self._items.vectors(*asked)
        loss = torch.zeros((), device=self._device)  # times weight
        if len(targets):
            columns = columns._replace(items=items, targets=targets, disliked=disliked)
            vectors = item_vectors.detach().requires_grad_()
            loss = self._room.within(
                len(items), lambda num_parts: self._backward(columns.parts(num_parts), vectors, negatives, total)
            )
            item_vectors.backward(vectors.grad)  # type: ignore[no-untyped-call]
        self._state.step(learning_rate)
        return torch.stack((self._workers.total(loss), total))

    def _backward(self, parts: Iterable[Columns], item_vectors: Tensor, negatives: Tensor, total: Tensor) -> Tensor:
        """Leaves the gradient of loss / total in the network and in item_vectors; returns the loss, times weight."""
        item_vectors.grad = None
        for parameter in self._network.parameters():
            parameter.grad = None
        sum_of_losses = torch.zeros((), device=self._device)
        for part in parts:
            with self._products:
                states = self._network(item_vectors, part.items, part.types, part.gaps)[part.lines, part.places]
                loss = next_item_loss(
                    states / self._options.temperature,  # (num_targets, dim)
                    item_vectors,
                    part.targets,
                    negatives,
                    part.disliked,
                    part.weights,
                    self._options.label_smoothing,
                )
            (loss / total).backward()  # type: ignore[no-untyped-call]
            sum_of_losses += loss.detach()
        return sum_of_losses

    def _negatives(self, draws: torch.Generator) -> Tensor:
        """All chosen items while they are few, else so many of them, drawn evenly; the same for every worker."""
        num_known, wanted = len(self._chosen_items), self._options.num_negatives
        if wanted == 0 or num_known <= wanted:
            return self._chosen_items
        drawn = torch.randint(num_known, (wanted,), generator=draws)
        return self._chosen_items[drawn.to(self._device)]


def in_bfloat16(precision: str, device: torch.device) -> bool:
    """Whether matrix products are computed in bfloat16: where it is asked for, or pays."""
    if precision != "auto":
        return precision == "bfloat16"
    if device.type == "cuda":
        return bool(torch.cuda.is_bf16_supported())
    in_hardware = (getattr(torch.cpu, name, None) for name in ("_is_avx512_bf16_supported", "_is_amx_tile_supported"))
    return any(supported is not None and supported() for supported in in_hardware)
