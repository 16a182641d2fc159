"""One step of AdamW against its formula, and the learning rate's course."""

import subprocess
import sys

import pytest
from torch import nn

from services.training.kinds.sequence.optimiser import AdamW, learning_rate_factor


class TwoKinds(nn.Module):
    def __init__(self) -> None:
        super().__init__()
        self.linear = nn.Linear(1, 1, bias=False)
        self.embedding = nn.Embedding(1, 1)
        for module in (self.linear, self.embedding):
            nn.init.constant_(module.weight, 2.0)


def test_the_first_step_goes_by_the_learning_rate_and_only_linear_weights_decay() -> None:
    """Adam's first step is the gradient's sign; a linear weight of 2 also loses 0.1 x 0.5 x 2."""
    network = TwoKinds()
    (0.3 * (network.linear.weight + network.embedding.weight).sum()).backward()  # type: ignore[no-untyped-call]
    AdamW(network, weight_decay=0.5).step(0.1)
    assert network.linear.weight.item() == pytest.approx(2.0 - 0.1 * 0.5 * 2.0 - 0.1, abs=1e-6)
    assert network.embedding.weight.item() == pytest.approx(2.0 - 0.1, abs=1e-6)


def test_a_steep_gradient_is_cut_to_the_same_step_and_then_forgotten() -> None:
    network = TwoKinds()
    optimiser = AdamW(network, weight_decay=0.0)
    (1e6 * network.linear.weight.sum()).backward()  # type: ignore[no-untyped-call]
    optimiser.step(0.1)
    assert network.linear.weight.item() == pytest.approx(1.9, abs=1e-6)
    assert network.linear.weight.grad is None
    assert network.embedding.weight.item() == 2.0  # it had no gradient


def test_it_finds_a_minimum() -> None:
    network = TwoKinds()
    optimiser = AdamW(network, weight_decay=0.0)
    for _ in range(300):
        loss = ((network.linear.weight - 0.5) ** 2).sum() + ((network.embedding.weight + 1) ** 2).sum()
        loss.backward()  # type: ignore[no-untyped-call]
        optimiser.step(0.05)
    assert network.linear.weight.item() == pytest.approx(0.5, abs=0.02)
    assert network.embedding.weight.item() == pytest.approx(-1.0, abs=0.02)


def test_what_was_saved_makes_the_same_steps_go_on() -> None:
    """Three steps at once, and two steps, a new optimiser with the state of the first, and one more."""
    at_once, in_two = TwoKinds(), TwoKinds()
    for network, num_before in ((at_once, 3), (in_two, 2)):
        optimiser = AdamW(network, weight_decay=0.1)
        for step in range(3):
            if step == num_before:
                saved = {name: tensor.clone() for name, tensor in optimiser.state().items()}
                optimiser = AdamW(network, weight_decay=0.1)
                optimiser.restore(saved)
            ((network.linear.weight - step) ** 2 + network.embedding.weight**2).sum().backward()  # type: ignore[no-untyped-call]
            optimiser.step(0.05)
    assert at_once.linear.weight.item() == in_two.linear.weight.item()
    assert at_once.embedding.weight.item() == in_two.embedding.weight.item()


def test_the_learning_rate_warms_up_and_falls_to_nothing() -> None:
    factors = [learning_rate_factor(progress / 100) for progress in range(101)]
    assert factors[0] == 0.0
    assert max(factors) == factors[2] == pytest.approx(0.98)
    assert factors[2:] == sorted(factors[2:], reverse=True)
    assert factors[100] == 0.0


def test_making_one_does_not_load_the_compiler() -> None:
    """Why this class exists: torch.optim.AdamW imports torch._dynamo, seconds of work for nothing."""
    code = (
        "import sys, torch; from services.training.kinds.sequence.optimiser import AdamW;"
        "n = torch.nn.Linear(2, 2); n.weight.sum().backward(); AdamW(n, 0.1).step(0.1);"
        "sys.exit('torch._dynamo' in sys.modules)"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
