"""Implicit ALS: user and item vectors whose products are near 1 where there is an interaction and near 0 elsewhere.

The loss, of the cells c of the matrix and with V and W the vectors of all items and users:

    sum c (w.v - 1)^2  +  unobserved sum over all pairs (w.v)^2  +  sum of ridge |w|^2 and |v|^2,
    ridge = regularisation (num_cells of the row + unobserved num_rows of the other side)^exponent.

Sources: Rendle et al., RecSys 2022 (arXiv 2110.14037, the scaled regularisation) and arXiv 2110.14044 (iALS++, for who
names a block_dim); else conjugate gradients, see their module.
A user has no parameters: serving folds a history in, as training does to measure.
"""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import numpy as np
import torch
from safetensors import SafetensorError
from safetensors.numpy import load_file, save_file
from torch import Tensor

from services.domain.errors import BundleBroken, TrainingFailed, UnfitToStartFrom
from services.training import checkpoint
from services.training.checkpoint import Progress, Resuming
from services.training.data.dataset import Dataset
from services.training.kinds.conjugate_gradients import improve_rows, observed_products
from services.training.kinds.interaction_matrix import (
    HALF_LIFE_DAYS,
    SparseMatrix,
    history_matrix,
    interactions,
    type_weights_of,
)
from services.training.kinds.least_squares import rotated, solve_rows
from services.training.model import STATE, Capabilities, EarlierModel, EpochReport, FitEnd, Floats, History, Table
from services.training.workers import Workers

UNOBSERVED: Final = 15.0  # see IalsOptions.unobserved_weight
USERS: Final = "users"
ITEMS: Final = "items"
CURE: Final = "raise `regularisation` in NIGHTJAR_TRAIN__OPTIONS and train again."


@dataclass(frozen=True, slots=True)
class IalsOptions:
    dim: int = 128
    unobserved_weight: float | None = None  # larger: unseen items are taken for disliked; smaller: everything is liked
    """None: UNOBSERVED times the share of all pairs that are there, at most 1, so that a matrix may have any size."""
    regularisation: float = 0.005  # larger: all users look alike; smaller: chance is learned
    frequency_exponent: float = 1.0
    """1: who has many interactions is held back as much more; 0: all alike."""
    num_steps: int = 3  # larger: epochs take longer; smaller: more of them are needed
    """Of conjugate gradients, for all rows in each half of an epoch."""
    block_dim: int | None = None
    """Instead of those, short rows are solved exactly and long ones in blocks of so many dimensions, which reaches the
    same loss in several times the time. Larger: fewer epochs of more work."""
    num_epochs: int = 12
    max_seconds: float = 3600.0
    half_life_days: float | None = HALF_LIFE_DAYS
    init_scale: float = 0.1
    seed: int = 0


class Ials:
    """Scores an item by the product of its vector with the history's, folded in.

    `item_vectors` are in their principal axes, so their Gram matrix is diagonal. A history of which nothing counts has
    a vector of zeros.
    """

    kind = "ials"
    capabilities = Capabilities(personal=True, warm_start=True, resumable=True)

    def __init__(self, options: IalsOptions | None = None) -> None:
        self.options = options or IalsOptions()
        self.dim = self.options.dim
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        self.vectors: Floats = np.empty((0, self.dim), np.float32)
        """(num_items, dim)."""
        self.fold_in: Floats = np.empty(0, np.float32)
        """(3,): unobserved, regularisation, exponent."""
        self.type_weights: Floats = np.empty(0, np.float32)
        self._start: Mapping[str, Floats] = {}
        self._resuming: Resuming | None = None

    def resume(self, checkpoint: Path, key: str) -> None:
        """See Resumable."""
        self._resuming = Resuming(checkpoint, key)

    def start_from(self, earlier: EarlierModel) -> None:
        """See WarmStarting: the next fit goes on from the earlier item vectors, found by item id, on all there is."""
        try:
            vectors = load_file(earlier.folder / STATE)["item_vectors"]
            self._start = dict(zip(earlier.vocabulary.item_ids, vectors, strict=True))
        except (OSError, KeyError, ValueError, SafetensorError) as error:
            raise BundleBroken(f"the fitted factors in {earlier.folder} cannot be read: {error}") from error
        if vectors.shape[1] != self.dim:
            raise UnfitToStartFrom(f"The earlier model has dim {vectors.shape[1]}, not {self.dim}; train in full.")

    def fit(self, dataset: Dataset, on_epoch: Callable[[EpochReport], None]) -> FitEnd:
        """See TrainableModel. The loss that is reported is that of the module's head, over the number of cells."""
        options, began, end = self.options, time.monotonic(), FitEnd.COMPLETED
        self.type_weights = type_weights_of(dataset)
        by_user = interactions(dataset, options.half_life_days)
        self.fold_in = self._fold_in_for(by_user)
        by_item = by_user.transposed()
        sides = _Sides(by_user, by_item, self._ridge(by_user), self._ridge(by_item))
        progress, users, items = self._go_on(dataset, by_user.num_rows)
        started = began - progress.elapsed_s
        while progress.epoch < options.num_epochs:
            if progress.epoch and progress.elapsed_s >= options.max_seconds:
                end = FitEnd.TIME_LIMIT
                break
            epoch, epoch_started = progress.epoch + 1, time.monotonic()
            users, items, loss = self._run_epoch(sides, users, items, epoch)
            now = time.monotonic()
            progress = Progress(progress.key, epoch, elapsed_s=now - started)
            self._keep(progress, users, items)
            speed = len(by_user.values) / (now - epoch_started)
            on_epoch(EpochReport(epoch, options.num_epochs, loss, 0.0, speed, progress.elapsed_s))
        self.vectors = rotated(items, users)[0].cpu().numpy()
        self._start = {}
        return end

    def score(self, histories: Sequence[History]) -> Floats:
        return self.encode_users(histories) @ self.vectors.T

    def encode_users(self, histories: Sequence[History]) -> Floats:
        """(batch, dim): the users that the fixed item vectors make of the histories, see `serving_tables`."""
        rows = history_matrix(histories, self.type_weights, len(self.vectors))
        items = torch.from_numpy(self.vectors).to(self._device)
        users = torch.zeros(len(histories), self.dim, device=self._device)
        # One block: fold-in is exact, whatever the length of a history.
        solve_rows(rows, items, _spectrum(items), users, self._ridge(rows), self._unobserved, self.dim)
        folded: Floats = users.cpu().numpy()
        return folded

    def item_vectors(self) -> Floats:
        return self.vectors

    def serving_tables(self) -> Mapping[str, Table]:
        """`item_vectors` V; `gram` V'V, diagonal; `fold_in` [unobserved, regularisation, exponent]; `type_weights`.

        With H (n, dim) the vectors of a history's n items, each once, c (n,) their weights and num_items those of V:

            ridge = regularisation (n + unobserved num_items)^exponent
            w = (H' diag(c) H + unobserved gram + ridge I)^-1 H' c

        or, cheaper for a short history, with the diagonal D = unobserved gram + ridge I:

            w = D^-1 H' (diag(1 / c) + H D^-1 H')^-1 1.

        Which items count, and how much, `interaction_matrix` says; the score is V w.
        """
        gram = np.diag(_spectrum(torch.from_numpy(self.vectors)).numpy())
        return {
            "item_vectors": self.vectors,
            "gram": gram,
            "fold_in": self.fold_in,
            "type_weights": self.type_weights,
        }

    def encoder_onnx(self) -> None:
        return None

    def save(self, folder: Path) -> None:
        state = {"item_vectors": self.vectors, "fold_in": self.fold_in, "type_weights": self.type_weights}
        save_file(state, folder / STATE)

    def load(self, folder: Path) -> None:
        state = load_file(folder / STATE)
        self.vectors, self.fold_in, self.type_weights = state["item_vectors"], state["fold_in"], state["type_weights"]
        self.dim = self.vectors.shape[1]

    @property
    def _unobserved(self) -> float:
        return float(self.fold_in[0])

    def _first_vectors(self, dataset: Dataset) -> Tensor:
        """(num_items, dim): those of the model to start from, and small random ones for the rest."""
        random = np.random.default_rng(self.options.seed)
        scale = self.options.init_scale / np.sqrt(self.dim)
        vectors = random.normal(0.0, scale, (dataset.num_items, self.dim)).astype(np.float32)
        for line, item_id in enumerate(dataset.vocabulary.item_ids):
            vectors[line] = self._start.get(item_id, vectors[line])
        return torch.from_numpy(vectors).to(self._device)

    def _go_on(self, dataset: Dataset, num_users: int) -> tuple[Progress, Tensor, Tensor]:
        """How far this very run was, its users and its items: of its checkpoint, or of the start."""
        found = None if self._resuming is None else checkpoint.load(self._resuming.path, self._resuming.key)
        if found is not None:
            progress, factors = found
            # Copied, since a file's bytes lie elsewhere in memory than torch puts them, which changes how it adds up.
            users, items = (factors[name].to(self._device, copy=True) for name in (USERS, ITEMS))
            return progress, users, items
        users = torch.zeros(num_users, self.dim, device=self._device)
        return Progress("" if self._resuming is None else self._resuming.key), users, self._first_vectors(dataset)

    def _keep(self, progress: Progress, users: Tensor, items: Tensor) -> None:
        """Users too: a long row is solved from where it was."""
        if self._resuming is not None and Workers.of_environment().leads:
            checkpoint.save(self._resuming.path, progress, checkpoint.cloned({USERS: users, ITEMS: items}))

    def _fold_in_for(self, matrix: SparseMatrix) -> Floats:
        options, unobserved = self.options, self.options.unobserved_weight
        if unobserved is None:
            share = len(matrix.values) / (matrix.num_rows * matrix.num_columns)
            unobserved = min(UNOBSERVED * share, 1.0)
        return np.array([unobserved, options.regularisation, options.frequency_exponent], np.float32)

    def _ridge(self, matrix: SparseMatrix) -> Tensor:
        """(num_rows,)."""
        unobserved, regularisation, exponent = self.fold_in.tolist()
        ridge = regularisation * (matrix.row_counts + unobserved * matrix.num_columns) ** exponent
        return torch.from_numpy(ridge.astype(np.float32)).to(self._device)

    def _run_epoch(self, sides: "_Sides", users: Tensor, items: Tensor, epoch: int) -> tuple[Tensor, Tensor, float]:
        """Users from items, then items from users; returns both and the loss. Raises TrainingFailed."""
        try:
            items, users, spectrum = rotated(items, users)
            self._move(sides.by_user, items, spectrum, users, sides.user_ridge)
            users, items, spectrum = rotated(users, items)
            self._move(sides.by_item, users, spectrum, items, sides.item_ridge)
            loss = self._loss(sides, users, items)
        except torch.linalg.LinAlgError as error:  # type: ignore[attr-defined]
            raise TrainingFailed(f"iALS cannot solve for its vectors in epoch {epoch} ({error}); {CURE}") from error
        if not np.isfinite(loss):  # as soon as one number of a vector is not, since all of them are in it
            raise TrainingFailed(f"The loss of iALS became {loss} in epoch {epoch}; {CURE}")
        return users, items, loss

    def _move(self, matrix: SparseMatrix, other: Tensor, spectrum: Tensor, factors: Tensor, ridge: Tensor) -> None:
        """One side towards what the other wants."""
        block_dim, num_steps = self.options.block_dim, self.options.num_steps
        if block_dim is None:
            improve_rows(matrix, other, spectrum, factors, ridge, self._unobserved, num_steps)
        else:
            solve_rows(matrix, other, spectrum, factors, ridge, self._unobserved, block_dim)

    def _loss(self, sides: "_Sides", users: Tensor, items: Tensor) -> float:
        values = torch.from_numpy(sides.by_user.values).to(self._device)
        observed = float((values * (observed_products(sides.by_user, users, items) - 1) ** 2).sum())
        everywhere = float(((users.T @ users) * (items.T @ items)).sum())
        held_back = float((sides.user_ridge * (users**2).sum(1)).sum() + (sides.item_ridge * (items**2).sum(1)).sum())
        return (observed + self._unobserved * everywhere + held_back) / len(values)


@dataclass(frozen=True, slots=True)
class _Sides:
    """The matrix as users and as items see it, and what holds their vectors back: (num_rows,) each."""

    by_user: SparseMatrix
    by_item: SparseMatrix
    user_ridge: Tensor
    item_ridge: Tensor


def _spectrum(items: Tensor) -> Tensor:
    """(dim,): the diagonal of the Gram matrix of vectors in their principal axes."""
    return (items**2).sum(0)
