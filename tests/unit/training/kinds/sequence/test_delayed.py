"""A table whose rows wait is the table of dense Adam and its average, to rounding."""

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor, nn

from services.training.kinds.sequence.averaging import Average
from services.training.kinds.sequence.delayed import DelayedTable
from services.training.kinds.sequence.optimiser import AdamW
from services.training.workers import Workers

NUM_ROWS, NUM_STEPS = 40, 700
RATES = [1e-2 * (1 - step / NUM_STEPS) for step in range(NUM_STEPS)]


class Net(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.table = nn.Embedding(NUM_ROWS, 3)
        self.linear = nn.Linear(3, 1, bias=False)
        with torch.no_grad():
            self.table.weight.copy_(torch.randn(NUM_ROWS, 3, generator=torch.Generator().manual_seed(1)))
            self.linear.weight.fill_(0.5)

    def loss(self, vectors: Tensor, wanted: Tensor) -> Tensor:
        """Steep enough to be clipped, now and then."""
        off: Tensor = self.linear(vectors)[:, 0] - wanted
        return (30 * off**2).mean()


def steps() -> Iterator[tuple[Tensor, Tensor]]:
    """Rows, the low ones often and the high ones seldom or never, and what is wanted of them."""
    random = torch.Generator().manual_seed(2)
    for _ in range(NUM_STEPS):
        rows = torch.unique((38 * torch.rand(5, generator=random) ** 3).long())
        yield rows, torch.randn(len(rows), generator=random)


def dense() -> tuple[Tensor, Tensor]:
    network = Net()
    optimiser = AdamW(network, 0.1)
    average = Average(optimiser.parameters, NUM_STEPS)
    for rate, (rows, wanted) in zip(RATES, steps(), strict=True):
        network.loss(network.table(rows), wanted).backward()  # type: ignore[no-untyped-call]
        optimiser.step(rate)
        average.note()
    return network.table.weight.detach(), average.values[0]


def delayed(settled_after: int) -> tuple[Tensor, Tensor]:
    """settled_after: after so many steps all rows are brought up to date, kept, and taken up by a new table."""
    network = Net()
    table = DelayedTable(network.table.weight, Workers())
    optimiser = AdamW(network, 0.1, [table])
    average = Average(optimiser.parameters, NUM_STEPS)
    for number, (rate, (rows, wanted)) in enumerate(zip(RATES, steps(), strict=True)):
        if number == settled_after:
            table.settle()
            kept = {name: tensor.clone() for name, tensor in table.state().items()}
            table = DelayedTable(network.table.weight, Workers())
            assert table.fits(kept)
            table.restore(kept)
            stepped = optimiser.state()
            optimiser = AdamW(network, 0.1, [table])
            optimiser.restore(stepped)
        network.loss(table.take(rows), wanted).backward()  # type: ignore[no-untyped-call]
        optimiser.step(rate)
        table.note(average.note())
    table.settle()
    weight = network.table.weight.detach().clone()
    with table.averaged():
        return weight, network.table.weight.detach().clone()


@pytest.mark.parametrize("settled_after", [-1, 0, 1, 350])
def test_weights_and_averages_are_those_of_the_dense_form(settled_after: int) -> None:
    """Seven hundred steps: some rows wait for longer than REACH, and some are never touched."""
    for waiting, at_once in zip(delayed(settled_after), dense(), strict=True):
        torch.testing.assert_close(waiting, at_once, atol=2e-5, rtol=1e-4)


def test_a_row_moves_on_though_its_last_gradient_was_steps_ago() -> None:
    """What the lazy forms of Adam leave out: without it the test above would hold for nothing."""
    network = Net()
    table = DelayedTable(network.table.weight, Workers())
    optimiser = AdamW(network, 0.0, [table])
    network.loss(table.take(torch.tensor([3])), torch.tensor([9.0])).backward()  # type: ignore[no-untyped-call]
    optimiser.step(0.1)
    table.note(0.1)
    after_one = network.table.weight[3].detach().clone()
    for _ in range(5):
        network.loss(table.take(torch.tensor([7])), torch.tensor([0.0])).backward()  # type: ignore[no-untyped-call]
        optimiser.step(0.1)
        table.note(0.1)
    assert torch.equal(network.table.weight[3], after_one)
    table.settle()
    assert (network.table.weight[3] - after_one).abs().max() > 0.1


def test_the_state_of_another_number_of_rows_does_not_fit() -> None:
    table, half = (DelayedTable(nn.Embedding(size, 3).weight, Workers()) for size in (8, 4))
    assert table.fits(table.state())
    assert not table.fits(half.state())
    assert not table.fits({})
