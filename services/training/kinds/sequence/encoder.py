"""The sequence encoder: how the network is fitted, when fitting stops, and how it scores."""

import json
import os
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors.numpy import load_file, save_file
from torch import Tensor
from torch.nn import functional

from services.domain.errors import NotEnoughData, TrainingFailed
from services.features.history import Rows
from services.training.data.dataset import Dataset
from services.training.evaluation.ranking import rank_targets
from services.training.kinds.sequence.batches import gather, pad_histories, plan_epoch
from services.training.kinds.sequence.graph import encoder_graph
from services.training.kinds.sequence.network import EncoderNetwork, NetworkShape
from services.training.kinds.sequence.optimiser import AdamW, learning_rate_factor
from services.training.model import STATE, Capabilities, EpochReport, FitEnd, Floats, History, Table

SHAPE: Final = "shape.json"
MAX_VALIDATION_MOMENTS = 2_000  # larger: epochs wait for their measurement; smaller: chance picks the best epoch


@dataclass(frozen=True, slots=True)
class EncoderOptions:
    """What can be set; the meaning and bounds of each are those of `settings.TrainSettings`."""

    dim: int
    num_blocks: int
    num_heads: int
    dropout: float
    max_history: int
    batch_users: int
    learning_rate: float
    weight_decay: float
    label_smoothing: float
    max_epochs: int
    patience: int
    max_seconds: float
    seed: int


class SequenceEncoder:
    """Predicts a user's next positive item from their latest events: a softmax over the whole catalogue."""

    kind = "sequence"
    capabilities = Capabilities(personal=True, validates=True, ordered=True)

    def __init__(self, options: EncoderOptions) -> None:
        self.options = options
        self.dim = options.dim
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network: EncoderNetwork | None = None

    @property
    def network(self) -> EncoderNetwork:
        """The fitted network, in evaluation mode; raises TrainingFailed before `fit`."""
        if self._network is None:
            raise TrainingFailed("The sequence encoder has not been fitted yet; call fit first.")
        return self._network

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        """See TrainableModel. Ends with the weights of the epoch that had the best validation NDCG@10, or, where no
        validation event can be predicted, with those of the last epoch.

        The same seed gives the same numbers on one machine's CPU; on a GPU they agree to rounding.
        """
        options, started = self.options, time.monotonic()
        if not len(dataset.sequences.targets):
            raise NotEnoughData(
                "In the training part of the log no user has a positive event after an earlier moment; "
                "a sequence cannot be learned from that, so collect more, or check the times of the events."
            )
        torch.set_num_threads(num_cores())
        torch.manual_seed(options.seed)
        random = np.random.default_rng(options.seed)
        network = self._network = EncoderNetwork(_shape(dataset, options), options.dropout).to(self._device)
        optimiser = AdamW(network, options.weight_decay)
        best, best_epoch, best_weights = -1.0, 0, _copy_of_weights(network)
        end = FitEnd.COMPLETED
        for epoch in range(1, options.max_epochs + 1):
            epoch_started = time.monotonic()
            batches = plan_epoch(dataset.sequences.starts, options.max_history, options.batch_users, random)
            loss = self._run_epoch(optimiser, dataset, batches, epoch)
            num_examples, train_s = len(dataset.sequences.items), time.monotonic() - epoch_started
            valid_ndcg = self._validate(dataset)
            elapsed_s = time.monotonic() - started
            on_epoch(EpochReport(epoch, options.max_epochs, loss, valid_ndcg or 0.0, num_examples / train_s, elapsed_s))
            if valid_ndcg is None or valid_ndcg > best:
                best, best_epoch, best_weights = valid_ndcg or 0.0, epoch, _copy_of_weights(network)
            if epoch - best_epoch >= options.patience:
                end = FitEnd.NO_LONGER_BETTER
                break
            if elapsed_s >= options.max_seconds and epoch < options.max_epochs:
                end = FitEnd.TIME_LIMIT
                break
        network.load_state_dict(best_weights)
        network.eval()
        return end

    def score(self, histories: Sequence[History]) -> Floats:
        """See TrainableModel."""
        with torch.inference_mode():
            scores: Floats = (self._encode(histories) @ self.network.items.weight[1:].T).cpu().numpy()
        return scores  # (batch, num_items)

    def encode_users(self, histories: Sequence[History]) -> Floats:
        """See TrainableModel."""
        with torch.inference_mode():
            vectors: Floats = self._encode(histories).cpu().numpy()
        return vectors

    def item_vectors(self) -> Floats:
        vectors: Floats = self.network.items.weight[1:].detach().cpu().numpy().copy()
        return vectors

    def serving_tables(self) -> Mapping[str, Table]:
        return {"item_vectors": self.item_vectors()}

    def save(self, folder: Path) -> None:
        save_file({name: tensor.cpu().numpy() for name, tensor in self.network.state_dict().items()}, folder / STATE)
        (folder / SHAPE).write_text(json.dumps(asdict(self.network.shape)), encoding="utf-8")

    def load(self, folder: Path) -> None:
        shape = NetworkShape(**json.loads((folder / SHAPE).read_text(encoding="utf-8")))
        network = EncoderNetwork(shape, self.options.dropout)
        tensors = {name: torch.from_numpy(table) for name, table in load_file(folder / STATE).items()}
        network.load_state_dict(tensors)
        self._network = network.to(self._device).eval()

    def encoder_onnx(self) -> bytes:
        """See TrainableModel."""
        graph: bytes = encoder_graph(self.network).SerializeToString()
        return graph

    def _encode(self, histories: Sequence[History]) -> Tensor:
        columns = (torch.from_numpy(rows).to(self._device) for rows in pad_histories(histories))
        last = torch.tensor([len(history.items) - 1 for history in histories], device=self._device)
        states: Tensor = self.network(*columns)  # (batch, length, dim)
        return states[torch.arange(len(last), device=self._device), last]  # (batch, dim)

    def _run_epoch(self, optimiser: AdamW, dataset: Dataset, batches: Sequence[Rows], epoch: int) -> float:
        """One step a batch; returns the mean loss in nats."""
        network, options = self.network.train(), self.options
        total, total_weight = torch.zeros((), device=self._device), 0.0
        for index, windows in enumerate(batches):
            progress = (epoch - 1 + (index + 0.5) / len(batches)) / options.max_epochs
            batch = gather(dataset.sequences, windows)
            if len(batch.targets) == 0:
                continue
            columns = (torch.from_numpy(column).to(self._device) for column in batch)
            items, types, gaps, lines, places, targets, weights = columns
            states = network(items, types, gaps)[lines, places]  # (num_asked, dim)
            loss = next_item_loss(network, states, targets, weights, options.label_smoothing)
            optimiser.step(loss, options.learning_rate * learning_rate_factor(progress))
            weight = float(batch.weights.sum())
            total, total_weight = total + loss.detach() * weight, total_weight + weight
        mean = float(total) / total_weight
        if not np.isfinite(mean):
            raise TrainingFailed(
                f"The loss became {mean} in epoch {epoch}; lower NIGHTJAR_TRAIN__LEARNING_RATE and train again."
            )
        return mean

    def _validate(self, dataset: Dataset) -> float | None:
        """NDCG@10 on the validation part; None when every event of it had to be skipped."""
        self.network.eval()
        moments = dataset.validation.thinned(MAX_VALIDATION_MOMENTS)
        found = rank_targets(self.score, moments, dataset.histories, dataset.popularity, self.options.max_history)
        return float(found.by_moment.ndcg(10).mean()) if len(found) else None


def num_cores() -> int:
    """The cores this process may use; all of the machine's where the system does not say, as on macOS."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1


def next_item_loss(
    network: EncoderNetwork, states: Tensor, targets: Tensor, weights: Tensor, label_smoothing: float
) -> Tensor:
    """Weighted mean cross-entropy, nats, of the softmax over all items.

    states: (n, dim); targets: (n,) item rows, from 1; weights: (n,) float32, above 0.
    """
    logits = states @ network.items.weight[1:].T  # (n, num_items)
    losses = functional.cross_entropy(logits, targets - 1, label_smoothing=label_smoothing, reduction="none")  # (n,)
    return (losses * weights).sum() / weights.sum()


def _shape(dataset: Dataset, options: EncoderOptions) -> NetworkShape:
    return NetworkShape(
        num_items=dataset.num_items,
        num_types=len(dataset.vocabulary.event_type_labels),
        dim=options.dim,
        num_blocks=options.num_blocks,
        num_heads=options.num_heads,
        max_history=options.max_history,
    )


def _copy_of_weights(network: EncoderNetwork) -> dict[str, Tensor]:
    return {name: tensor.detach().clone() for name, tensor in network.state_dict().items()}
