"""The average of the weights follows them, is steadier than they are, and is in their place only for a while."""

import numpy as np
import torch
from torch import nn

from services.training.kinds.sequence.averaging import Average


def test_it_swings_less_than_the_weights_and_finds_their_middle() -> None:
    parameter, random = nn.Parameter(torch.zeros(1)), np.random.default_rng(0)
    average = Average([parameter], num_steps=600)
    for _ in range(600):
        with torch.no_grad():
            parameter.fill_(5.0 + random.normal())
        average.note()
    assert abs(average.values[0].item() - 5.0) < 0.3


def test_its_first_steps_are_soon_forgotten() -> None:
    """Of a start at 100, after fifty steps at 1 almost nothing is left."""
    parameter = nn.Parameter(torch.full((1,), 100.0))
    average = Average([parameter], num_steps=10_000)
    with torch.no_grad():
        parameter.fill_(1.0)
    for _ in range(50):
        average.note()
    assert average.values[0].item() < 1.1


def test_the_parameters_are_the_average_within_the_block_and_themselves_after_it() -> None:
    parameter = nn.Parameter(torch.ones(2))
    average = Average([parameter], num_steps=10)
    with torch.no_grad():
        parameter.fill_(3.0)
    with average.applied():
        assert parameter.tolist() == [1.0, 1.0]
    assert parameter.tolist() == [3.0, 3.0]
