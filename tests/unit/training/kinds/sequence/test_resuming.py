"""A killed run goes on from its last epoch and ends with the same numbers; a checkpoint is whole or not there."""

import subprocess
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch

from services.domain.errors import TrainingFailed
from services.training import checkpoint
from services.training.checkpoint import Progress
from services.training.data.dataset import Dataset
from services.training.kinds.sequence.encoder import SequenceEncoder
from services.training.kinds.sequence.options import EncoderOptions
from services.training.model import EpochReport
from tests.unit.training.kinds.model_suite import Killed

TENSORS = {"network/a": torch.arange(6.0).view(2, 3), "optimiser/b": torch.ones(2)}


def encoder(options: EncoderOptions, checkpoint: Path) -> SequenceEncoder:
    made = SequenceEncoder(options)
    made.resume(checkpoint, "tonight")
    return made


def killed_after(epoch: int) -> Callable[[EpochReport], None]:
    def on_epoch(report: EpochReport) -> None:
        if report.epoch == epoch:
            raise Killed

    return on_epoch


@pytest.fixture
def noisy(options: EncoderOptions) -> EncoderOptions:
    """With all that is random in training: dropout, drawn negatives, moving windows."""
    return replace(options, dropout=0.1, input_dropout=0.2, num_negatives=20, max_epochs=4)


@pytest.mark.parametrize("shard_items", [False, True])
@pytest.mark.parametrize("epoch", [1, 3])
def test_with_all_that_is_random_a_killed_run_goes_on_to_the_same_numbers(
    tmp_path: Path, planted: Dataset, noisy: EncoderOptions, epoch: int, *, shard_items: bool
) -> None:
    noisy, path = replace(noisy, shard_items=shard_items), tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        encoder(noisy, path).fit(planted, killed_after(epoch))
    told: list[EpochReport] = []
    again, whole = encoder(noisy, path), SequenceEncoder(noisy)
    again.fit(planted, told.append)
    whole.fit(planted, lambda _: None)
    assert [report.epoch for report in told] == list(range(epoch + 1, 5))
    assert np.array_equal(again.item_vectors(), whole.item_vectors())


def test_a_loss_that_is_no_number_leaves_the_last_good_checkpoint(
    tmp_path: Path, planted: Dataset, noisy: EncoderOptions
) -> None:
    path = tmp_path / "run.safetensors"
    with pytest.raises(Killed):
        encoder(noisy, path).fit(planted, killed_after(2))
    good = path.read_bytes()
    with pytest.raises(TrainingFailed, match="LEARNING_RATE"):
        encoder(replace(noisy, learning_rate=1e30), path).fit(planted, lambda _: None)
    assert path.read_bytes() == good


def test_a_checkpoint_comes_back_as_it_was(tmp_path: Path) -> None:
    path = tmp_path / "new folder" / "run.safetensors"
    progress = Progress("key", 3, 900, 2, 0.25, 12.5)
    checkpoint.save(path, progress, TENSORS)
    found = checkpoint.load(path, "key")
    assert found is not None
    assert found[0] == progress
    assert all(torch.equal(found[1][name], tensor) for name, tensor in TENSORS.items())
    assert [each.name for each in path.parent.iterdir()] == ["run.safetensors"]


@pytest.mark.parametrize("length", [0, 1, 50, 200])
def test_a_broken_checkpoint_is_as_good_as_none(tmp_path: Path, length: int) -> None:
    path = tmp_path / "run.safetensors"
    checkpoint.save(path, Progress("key", 3), TENSORS)
    path.write_bytes(path.read_bytes()[:length])
    assert checkpoint.load(path, "key") is None


FULL_DISK = """
import resource, sys
from pathlib import Path
from services.domain.errors import TrainingFailed
from services.training import checkpoint
from tests.unit.training.kinds.sequence.test_resuming import TENSORS
resource.setrlimit(resource.RLIMIT_FSIZE, (64, resource.RLIM_INFINITY))
try:
    checkpoint.save(Path(sys.argv[1]), checkpoint.Progress("key", 4), TENSORS)
except TrainingFailed as error:
    print(error)
"""


def test_a_disk_without_room_says_so_and_keeps_the_checkpoint_before(tmp_path: Path) -> None:
    """A process that may write files of 64 bytes at most stands for the disk."""
    path = tmp_path / "run.safetensors"
    checkpoint.save(path, Progress("key", 3), TENSORS)
    done = subprocess.run([sys.executable, "-c", FULL_DISK, str(path)], capture_output=True, text=True, check=True)
    assert "make room" in done.stdout
    assert [each.name for each in tmp_path.iterdir()] == [path.name]
    found = checkpoint.load(path, "key")
    assert found is not None
    assert found[0].epoch == 3


def test_what_workers_kept_beside_a_checkpoint_goes_with_it(tmp_path: Path) -> None:
    path, other = tmp_path / "training.safetensors", tmp_path / "another.safetensors"
    files = [path, *(checkpoint.of_worker(path, rank, epoch) for rank in (1, 2) for epoch in (3, 4))]
    for each in (*files, other):
        checkpoint.save(each, Progress("tonight"), TENSORS)
    assert len(set(files)) == 5
    checkpoint.remove(path)
    assert list(tmp_path.iterdir()) == [other]
    checkpoint.remove(path)  # a run that never kept anything
