"""The sequence encoder as a kind of model: what it starts from, how it scores, and how it is kept."""

import json
import os
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file
from torch import Tensor

from services.domain.errors import BundleBroken, NotEnoughData, TrainingFailed, UnfitToStartFrom
from services.training.checkpoint import Resuming, cloned
from services.training.data.content import ItemContent
from services.training.data.dataset import Dataset, TrainingSequences
from services.training.evaluation.ranking import rank_targets
from services.training.kinds.sequence.batches import pad_histories
from services.training.kinds.sequence.first_vectors import cooccurrence_vectors
from services.training.kinds.sequence.fitting import Fitting
from services.training.kinds.sequence.graph import encoder_graph
from services.training.kinds.sequence.network import EMBEDDING_STD, Dropouts, EncoderNetwork, NetworkShape
from services.training.kinds.sequence.options import EncoderOptions
from services.training.kinds.sequence.recency import recent
from services.training.kinds.sequence.sizing import Sizes, sizes_for
from services.training.kinds.sequence.warm_start import since, transplant
from services.training.model import STATE, Capabilities, EarlierModel, EpochReport, FitEnd, Floats, History, Table

SHAPE: Final = "shape.json"
MAX_VALIDATION_QUESTIONS: Final = 5_000  # larger: epochs wait to be measured; smaller: chance picks the best one
MIN_VALIDATION_QUESTIONS: Final = 2_000
VALIDATION_SHARE: Final = 0.2  # of the events of an epoch, read again to measure it, between these bounds


class SequenceEncoder:
    """Predicts a user's next positive item from their latest events."""

    kind = "sequence"
    capabilities = Capabilities(
        personal=True, validates=True, ordered=True, new_items=True, warm_start=True, resumable=True
    )

    def __init__(self, options: EncoderOptions) -> None:
        self.options = options
        self.dim = options.dim
        self._resuming: Resuming | None = None
        self._earlier: tuple[EarlierModel, _Stored] | None = None
        self._features: tuple[str, ...] = ()
        self._text_encoder = ""
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self._network: EncoderNetwork | None = None
        self._item_vectors = torch.empty(0)

    @property
    def network(self) -> EncoderNetwork:
        """The fitted network, in evaluation mode; raises TrainingFailed before `fit`."""
        if self._network is None:
            raise TrainingFailed("The sequence encoder has not been fitted yet; call fit first.")
        return self._network

    def resume(self, checkpoint: Path, key: str) -> None:
        """See Resumable."""
        self._resuming = Resuming(checkpoint, key)

    def start_from(self, earlier: EarlierModel) -> None:
        """See WarmStarting."""
        stored = _Stored.read(earlier.folder)
        options = self.options
        for name in ("dim", "num_blocks", "num_heads"):
            there, here = getattr(stored.shape, name), getattr(options, name)
            if here is not None and there != here:
                raise UnfitToStartFrom(f"The earlier model has {name} {there}, not {here}; train in full.")
        self._earlier = earlier, stored

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        """See TrainableModel. Ends with the weights of the epoch that had the best validation NDCG@10, or, where no
        validation event can be predicted, with those of the last epoch.

        The same seed gives the same numbers on one machine's CPU; on a GPU they agree to rounding.
        """
        if not len(dataset.sequences.wanted):
            raise NotEnoughData(
                "In the training part of the log no user has a positive event after an earlier moment; "
                "a sequence cannot be learned from that, so collect more, or check the times of the events."
            )
        torch.set_num_threads(num_cores())
        torch.manual_seed(self.options.seed)
        self._features, self._text_encoder = dataset.content.names, dataset.content.text_encoder
        options = self.options
        sequences = recent(dataset.sequences, dataset.bounds_us.get("fit_end_us"), options.half_life_days)
        sizes = sizes_for(options, sequences, dataset.num_items)
        if self._earlier is not None:
            sizes = replace(sizes, num_blocks=self._earlier[1].shape.num_blocks)
        network = self._first_network(dataset, sizes)
        if self._earlier is not None:
            earlier, stored = self._earlier
            words = earlier.vocabulary
            same_texts = stored.text_encoder == dataset.content.text_encoder
            labels = words.event_type_labels
            transplant(network, dataset, stored.tensors, words.item_ids, labels, stored.features, same_texts=same_texts)
            sequences = since(sequences, earlier.learned_until_us, np.random.default_rng(options.seed))
            options = replace(
                options,
                max_epochs=options.incremental_epochs if len(sequences.wanted) else 0,
                learning_rate=options.learning_rate * INCREMENTAL_RATE,
            )
        self._network = network.to(self._device)
        fitting = Fitting(
            self._network, sequences, options, sizes.batch_events, lambda: self._validate(dataset), self._resuming
        )
        end = fitting.run(on_epoch)
        self._finish(dataset, sizes)
        self._freeze()
        return end

    def _finish(self, dataset: Dataset, sizes: Sizes) -> None:
        """Learns the validation part, too, now that it has said when to stop: the newest there is to learn from."""
        start_us, end_us = (dataset.bounds_us.get(name) for name in ("fit_end_us", "cut_us"))
        if dataset.with_validation is None or start_us is None or not len(dataset.validation):
            return
        if self._earlier is not None:  # what it learned is not learned again: by the next night, by heart
            start_us = max(start_us, self._earlier[0].learned_until_us)
        options, random = self.options, np.random.default_rng((self.options.seed, 1))
        sequences = since(recent(dataset.with_validation(), end_us, options.half_life_days), start_us, random)
        if not len(sequences.wanted):
            return
        options = replace(
            options, max_epochs=FINISHING_EPOCHS, learning_rate=options.learning_rate * INCREMENTAL_RATE, patience=99
        )
        Fitting(self.network, sequences, options, sizes.batch_events, lambda: None).run(lambda _: None)

    def score(self, histories: Sequence[History]) -> Floats:
        """See TrainableModel."""
        with torch.inference_mode():
            scores: Floats = (self._encode(histories) @ self._item_vectors[1:].T).cpu().numpy()
        return scores  # (batch, num_items)

    def encode_users(self, histories: Sequence[History]) -> Floats:
        """See TrainableModel."""
        with torch.inference_mode():
            vectors: Floats = self._encode(histories).cpu().numpy()
        return vectors

    def item_vectors(self) -> Floats:
        self.network  # noqa: B018 - says so when there is none
        vectors: Floats = self._item_vectors[1:].cpu().numpy().copy()
        return vectors

    def serving_tables(self) -> Mapping[str, Table]:
        return {"item_vectors": self.item_vectors()}

    def encoder_onnx(self) -> bytes:
        """See TrainableModel."""
        graph: bytes = encoder_graph(self.network, self._item_vectors).SerializeToString()
        return graph

    def save(self, folder: Path) -> None:
        save_file(cloned(self.network.state_dict()), folder / STATE)
        shape = asdict(self.network.shape)
        written = {"shape": shape, "features": self._features, "text_encoder": self._text_encoder}
        (folder / SHAPE).write_text(json.dumps(written, ensure_ascii=False), encoding="utf-8")

    def load(self, folder: Path) -> None:
        stored = _Stored.read(folder)
        try:
            network = EncoderNetwork(stored.shape, Dropouts(0.0, 0.0), stored.content)
            network.load_state_dict(stored.tensors)
        except (KeyError, RuntimeError) as error:
            raise BundleBroken(f"the fitted encoder in {folder} does not fit together: {error}") from error
        self._features, self._text_encoder = stored.features, stored.text_encoder
        self._network = network.to(self._device).eval()
        self._freeze()

    def _first_network(self, dataset: Dataset, sizes: Sizes) -> EncoderNetwork:
        """Where fitting starts: item vectors from what stood together, noise to tell equal ones apart."""
        options = self.options
        shape = NetworkShape(
            num_items=dataset.num_items,
            num_types=len(dataset.vocabulary.event_type_labels),
            num_features=dataset.content.num_features,
            dim=options.dim,
            num_blocks=sizes.num_blocks,
            num_heads=options.num_heads,
            max_history=options.max_history,
            text_dim=dataset.content.text_dim,
        )
        network = EncoderNetwork(shape, Dropouts(sizes.input_dropout, options.dropout), dataset.content)
        vectors = cooccurrence_vectors(dataset.sequences, dataset.num_items, options.dim, options.seed)
        table = network.item_table
        chosen = torch.from_numpy(np.bincount(dataset.sequences.items, minlength=dataset.num_items + 1) > 0)
        with torch.no_grad():
            table.ids.weight.mul_(NOISE).add_(vectors * EMBEDDING_STD)
            table.is_known.copy_(chosen[:, None])
        return network

    def _freeze(self) -> None:
        with torch.inference_mode():
            self._item_vectors = self.network.item_table()

    def _encode(self, histories: Sequence[History]) -> Tensor:
        columns = (torch.from_numpy(rows).to(self._device) for rows in pad_histories(histories))
        last = torch.tensor([len(history.items) - 1 for history in histories], device=self._device)
        states: Tensor = self.network(self._item_vectors, *columns)  # (batch, length, dim)
        return states[torch.arange(len(last), device=self._device), last]  # (batch, dim)

    def _num_validated(self, sequences: TrainingSequences) -> int:
        """How many questions are worth their time: a long history costs as much to validate as to learn from."""
        mean_length = len(sequences.items) / max(1, len(sequences.starts) - 1)
        affordable = VALIDATION_SHARE * len(sequences.items) / max(1.0, min(mean_length, self.options.max_history))
        return max(MIN_VALIDATION_QUESTIONS, min(MAX_VALIDATION_QUESTIONS, int(affordable)))

    def _validate(self, dataset: Dataset) -> float | None:
        """NDCG@10 on the validation part; None when every event of it had to be skipped."""
        self._freeze()
        moments = dataset.validation.thinned(self._num_validated(dataset.sequences))
        found = rank_targets(self.score, moments, dataset.histories, dataset.popularity, self.options.max_history)
        return float(found.by_question.ndcg(10).mean()) if len(found) else None


@dataclass(frozen=True)
class _Stored:
    """What `save` wrote."""

    shape: NetworkShape
    features: tuple[str, ...]
    tensors: Mapping[str, Tensor]
    text_encoder: str

    @classmethod
    def read(cls, folder: Path) -> "_Stored":
        try:
            written = json.loads((folder / SHAPE).read_text(encoding="utf-8"))
            shape, texts = NetworkShape(**written["shape"]), written.get("text_encoder", "")
            return cls(shape, tuple(written["features"]), load_file(folder / STATE), texts)
        except (OSError, ValueError, TypeError, KeyError, SafetensorError) as error:
            raise BundleBroken(f"the fitted encoder in {folder} cannot be read: {error}") from error

    @property
    def content(self) -> ItemContent:
        features, starts = (self.tensors[f"item_table.{name}"].numpy() for name in ("features", "starts"))
        texts = self.tensors.get("item_table.texts", torch.empty((self.shape.num_items + 1, 0)))
        return ItemContent(self.features, features, starts, texts[1:].numpy())


INCREMENTAL_RATE: Final = 0.5  # of the learning rate. Larger: what was known is overwritten; smaller: little is learned
FINISHING_EPOCHS: Final = 2  # larger: the last days are learned by heart; smaller: they are hardly learned
NOISE: Final = 0.1  # share of the usual random start. Larger: less is known; smaller: items of equal company stay equal


def num_cores() -> int:
    """The cores this process may use; all of the machine's where the system does not say, as on macOS."""
    affinity = getattr(os, "sched_getaffinity", None)
    return len(affinity(0)) if affinity else os.cpu_count() or 1
