"""A batch that does not fit is divided until it does, and the step stays the same."""

from dataclasses import replace

import pytest
import torch
from torch import Tensor

from services.domain.errors import TrainingFailed
from services.training.data.dataset import Dataset
from services.training.kinds.sequence.fitting import Fitting
from services.training.kinds.sequence.network import Dropouts, EncoderNetwork, NetworkShape
from services.training.kinds.sequence.options import EncoderOptions
from services.training.kinds.sequence.parts import Columns, Room
from services.training.model import EpochReport


class Tight(EncoderNetwork):
    """On a device with room for so many windows at once; most of a try is done before it fails."""

    room = 1_000

    def forward(self, item_vectors: Tensor, items: Tensor, types: Tensor, gaps: Tensor) -> Tensor:
        states: Tensor = super().forward(item_vectors, items, types, gaps)
        if len(items) > self.room:
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB.")
        return states


def fitted(dataset: Dataset, options: EncoderOptions, room: int) -> tuple[Tight, list[EpochReport]]:
    torch.manual_seed(3)
    words, content = dataset.vocabulary, dataset.content
    sizes = (dataset.num_items, len(words.event_type_labels), content.num_features, options.dim, 1, 2)
    network = Tight(NetworkShape(*sizes, options.max_history), Dropouts(0.0, 0.0), content)
    network.room = room
    told: list[EpochReport] = []
    Fitting(network, dataset.sequences, options, 400, lambda: None).run(told.append)
    return network, told


@pytest.mark.parametrize("shard_items", [False, True])
def test_a_batch_that_does_not_fit_is_worked_out_in_parts_to_the_same_end(
    planted: Dataset, options: EncoderOptions, *, shard_items: bool
) -> None:
    """Batches have 20 windows and more, and three at once have room. To rounding: sums are of other parts."""
    options = replace(options, max_epochs=2, precision="float32", shard_items=shard_items, num_negatives=20)
    (whole, told), (tight, told_tight) = fitted(planted, options, 1_000), fitted(planted, options, 3)
    assert [each.loss for each in told_tight] == pytest.approx([each.loss for each in told], rel=1e-4)
    for name, tensor in whole.state_dict().items():
        torch.testing.assert_close(tight.state_dict()[name], tensor, atol=1e-3, rtol=1e-2, msg=name)


def test_a_window_that_does_not_fit_alone_is_an_error_that_says_what_to_lower(
    planted: Dataset, options: EncoderOptions
) -> None:
    with pytest.raises(TrainingFailed, match=r"NIGHTJAR_TRAIN__MAX_HISTORY.*2\.00 GiB"):
        fitted(planted, options, 0)


def test_what_did_not_fit_once_is_not_tried_again() -> None:
    tries: list[int] = []

    def work(num_parts: int) -> int:
        tries.append(num_parts)
        if num_parts < 4:
            raise torch.OutOfMemoryError("none left")
        return num_parts

    room = Room()
    assert [room.within(10, work) for _ in range(2)] == [4, 4]
    assert tries == [1, 2, 4, 4]


def test_parts_hold_every_window_and_target_once() -> None:
    """Of window w's item row 10 w: a target keeps its window."""
    items = torch.arange(5)[:, None] * 10
    lines = torch.tensor([0, 1, 1, 4, 3, 2])
    targets = lines * 10 + 1
    columns = Columns(items, items, items, lines, targets * 0, targets, targets, targets * 1.0)
    parts = list(columns.parts(2))
    assert sorted(torch.cat([part.items for part in parts]).flatten().tolist()) == [0, 10, 20, 30, 40]
    assert sorted(torch.cat([part.targets for part in parts]).tolist()) == sorted(targets.tolist())
    for part in parts:
        assert (part.items[part.lines, 0] + 1).tolist() == part.targets.tolist()
