"""Where a killed fit goes on: after every epoch, everything that the next one depends on, in one file.

What is random in an epoch follows from the seed and the epoch's number, so no generator needs to be kept. What the
tensors are is each kind's own affair.
"""

import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Final

import structlog
from safetensors import SafetensorError, safe_open
from safetensors.torch import save_file
from torch import Tensor

from services.domain.errors import TrainingFailed

log = structlog.get_logger(__name__)

_META: Final = "progress"


@dataclass(frozen=True, slots=True)
class Resuming:
    """Where fitting keeps how far it is, and whose progress that is: `key` names data, settings and code."""

    path: Path
    key: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How far fitting is; by the key, no run goes on from another's checkpoint."""

    key: str
    epoch: int = 0
    """The last one that ended; 0: none."""
    num_steps: int = 0
    """This and the best epoch are of kinds that take steps and validate."""
    best_epoch: int = 0
    best_ndcg: float = -1.0
    elapsed_s: float = 0.0
    """What all processes spent on these epochs."""


def save(path: Path, progress: Progress, tensors: Mapping[str, Tensor]) -> None:
    """Replaces the checkpoint in one step; raises TrainingFailed when the disk has no room, and the old one stays."""
    draft = path.with_suffix(".tmp")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        save_file(dict(tensors), draft, {_META: json.dumps(asdict(progress))})
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    except (OSError, SafetensorError) as error:
        draft.unlink(missing_ok=True)
        raise TrainingFailed(
            f"The checkpoint {path} cannot be written ({error}); make room on its disk, and the run goes on from epoch "
            f"{max(progress.epoch - 1, 0)}."
        ) from error


def load(path: Path, key: str) -> tuple[Progress, dict[str, Tensor]] | None:
    """The checkpoint of this very run; None when there is none, or it is another's or broken, which is logged."""
    if not path.is_file():
        return None
    try:
        with safe_open(path, "pt") as file:
            progress = Progress(**json.loads((file.metadata() or {})[_META]))
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 - not a mapping
    except (SafetensorError, OSError, KeyError, ValueError, TypeError) as error:
        log.warning("checkpoint_ignored", path=str(path), why=f"it cannot be read: {error}")
        return None
    if progress.key != key:
        log.info("checkpoint_ignored", path=str(path), why="it is of other data or settings")
        return None
    return progress, tensors


def of_worker(path: Path, rank: int, epoch: int) -> Path:
    """Where a worker beside the leader keeps what is its alone: two files in turn, see `kinds.sequence.state`."""
    return path.with_name(f"{path.stem}.worker{rank}-{epoch % 2}{path.suffix}")


def remove(path: Path) -> None:
    """The checkpoint and what workers have beside it, if there are any."""
    for each in (path, *path.parent.glob(f"{path.stem}.worker*{path.suffix}")):
        each.unlink(missing_ok=True)


def cloned(tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """Copies on the CPU, in memory of their own, as the file format asks."""
    return {name: tensor.detach().to("cpu", copy=True).contiguous() for name, tensor in tensors.items()}


def prefixed(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    return {f"{prefix}/{name}": tensor for name, tensor in tensors.items()}


def part(prefix: str, tensors: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """What `prefixed` named."""
    head = f"{prefix}/"
    return {name.removeprefix(head): tensor for name, tensor in tensors.items() if name.startswith(head)}
